"""Silences and acknowledgements of driftline as silences of Grafana."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dashboards import lacking
from dashboards.server import GrafanaError, Server
from dashboards.uids import RULES
from driftline.storage.connection import Connection
from driftline.storage.grafana_state import GrafanaState

_OPEN_END = timedelta(days=7)  # of an acknowledgement, which is prolonged while its incident lasts
_PROLONG = timedelta(days=1)
_KIND = "silence"


@dataclass(frozen=True)
class Silence:
    """Whom not to tell about what, until when."""

    uid: str
    model: str
    family: str | None
    since: datetime
    until: datetime
    by: str
    reason: str

    @property
    def body(self) -> dict[str, Any]:
        """As Grafana takes it."""
        # others' rules may have the label too; a rule's uid stays when people rename it
        matchers = [_matcher("__alert_rule_uid__", RULES, regex=True)]
        matchers.append(_matcher("model", self.model))
        if self.family is not None:
            matchers.append(_matcher("family", self.family))
        return {
            "matchers": matchers,
            "startsAt": self.since.isoformat(),
            "endsAt": self.until.isoformat(),
            "createdBy": self.by,
            "comment": f"{self.reason} ({self.uid})",
        }


def _matcher(name: str, value: str, *, regex: bool = False) -> dict[str, Any]:
    return {"name": name, "value": value, "isRegex": regex, "isEqual": True}


@dataclass(frozen=True)
class Synced:
    """How many silences were made or prolonged, and ended."""

    made: int
    ended: int


def sync(server: Server, connection: Connection, state: GrafanaState) -> Synced:
    """Make those that Grafana lacks, end those that are over here.

    Safe to run at any time, and again. One that a person ended in Grafana is not made anew.

    Raises:
        GrafanaError: the server does not answer, or the token may not.
    """
    with state.locked():
        now = datetime.now(UTC)
        known = {uid: last.applied for (kind, uid), last in state.load().items() if kind == _KIND}
        wanted = {one.uid: one for one in _wanted(connection, now)}
        made = sum(_make(server, state, one, known.get(one.uid), now) for one in wanted.values())
        ended = 0
        for uid, applied in known.items():
            if uid not in wanted:
                ended += _end(server, applied or {})
                state.forget((_KIND, uid))
        _note_ids(connection, state)
        return Synced(made, ended)


def end_all(server: Server, state: GrafanaState) -> None:
    """End every silence that driftline made."""
    with state.locked():
        for (kind, uid), last in state.load().items():
            if kind == _KIND:
                _end(server, last.applied or {})
                state.forget((kind, uid))


def _wanted(connection: Connection, now: datetime) -> list[Silence]:
    silences = connection.execute(
        "SELECT id, model, family, starts_at, ends_at, created_by, reason"
        " FROM driftline.silence WHERE ends_at > %s",
        [now],
    ).fetchall()
    acknowledged = connection.execute(
        "SELECT id, model, family, acknowledged_at, acknowledged_by, note"
        " FROM driftline.incident WHERE resolved_at IS NULL AND acknowledged_at IS NOT NULL"
    ).fetchall()
    return [
        *(Silence(f"silence-{row[0]}", *row[1:]) for row in silences),
        *(
            Silence(
                f"incident-{number}",
                model,
                family,
                since,
                now + _OPEN_END,
                by or "driftline",
                note or "acknowledged",
            )
            for number, model, family, since, by, note in acknowledged
        ),
    ]


def _make(
    server: Server,
    state: GrafanaState,
    silence: Silence,
    applied: dict[str, Any] | None,
    now: datetime,
) -> bool:
    body = silence.body
    if applied is not None:
        if _lasts(silence, applied, now):
            return False
        ends = datetime.fromisoformat(applied["endsAt"])
        if ends > now:  # else it has run out, and a new one is needed
            if _ended_by_hand(server, applied["id"]):
                return False
            body = {**body, "id": applied["id"]}
    number = server.call(f"silence {silence.model!r}", lambda api: lacking.silence(api, body))
    noted = {"id": number, "endsAt": body["endsAt"], "matchers": body["matchers"]}
    state.record((_KIND, silence.uid), noted, {})
    return True


def _lasts(silence: Silence, applied: dict[str, Any], now: datetime) -> bool:
    """Whether the one in Grafana matches the same, and ends when it should."""
    if applied.get("matchers") != silence.body["matchers"]:
        return False  # an earlier version of driftline made it
    if silence.uid.startswith("incident-"):
        return datetime.fromisoformat(applied["endsAt"]) - now > _OPEN_END - _PROLONG
    return bool(applied["endsAt"] == silence.body["endsAt"])


def _ended_by_hand(server: Server, number: str) -> bool:
    live = server.find("read a silence", lambda api: lacking.silence_of(api, number))
    return live is None or live["status"]["state"] == "expired"


def _end(server: Server, applied: dict[str, Any]) -> bool:
    if "id" not in applied:
        return False
    try:
        server.call("end a silence", lambda api: lacking.end_silence(api, applied["id"]))
    except GrafanaError as error:
        if not error.gone:
            raise
        return False
    return True


def _note_ids(connection: Connection, state: GrafanaState) -> None:
    """Beside each silence its number in Grafana, for people and pages."""
    for (kind, uid), last in state.load().items():
        if kind == _KIND and uid.startswith("silence-") and last.applied is not None:
            connection.execute(
                "UPDATE driftline.silence SET grafana_id = %s WHERE id = %s"
                " AND grafana_id IS DISTINCT FROM %s",
                [last.applied["id"], int(uid.removeprefix("silence-")), last.applied["id"]],
            )
