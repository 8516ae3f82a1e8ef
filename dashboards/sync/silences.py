"""Silences and acknowledgements of driftline as silences of Grafana."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from grafana_client import GrafanaApi

from driftline.dashboards.panels.uids import RULES
from driftline.dashboards.sync import extra_calls
from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.storage.connection import Connection
from driftline.storage.monitoring.grafana_state import Applied, GrafanaState

Json = dict[str, Any]

_OPEN_END = timedelta(days=7)  # of an acknowledgement, which is prolonged while its incident lasts
_PROLONG = timedelta(days=1)
_WRITTEN_TO = timedelta(seconds=1)  # Grafana writes an end shorter than it was sent
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
    def body(self) -> Json:
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
            "comment": f"{self.reason} {_ending(self.uid)}",
        }


def _ending(uid: str) -> str:
    """Of the comment, by which a silence is found when its id is not known."""
    return f"({uid})"


def _matcher(name: str, value: str, *, regex: bool = False) -> Json:
    return {"name": name, "value": value, "isRegex": regex, "isEqual": True}


@dataclass(frozen=True)
class Synced:
    """How many silences were made or prolonged, and ended."""

    made: int
    ended: int


def sync(
    server: Server, connection: Connection, state: GrafanaState, patience: timedelta | None = None
) -> Synced:
    """Make those that Grafana lacks, end those that are over here.

    Safe to run at any time, and again. One that a person ended in Grafana is not made anew, and
    one of which Grafana's answer was lost is found again.

    Args:
        patience: how long to wait for others who speak to this Grafana; default: until they end.

    Raises:
        GrafanaError: the server does not answer, or the token may not.
        ServiceError: others take longer.
    """
    with state.locked(patience):
        run = _Run(server, state, datetime.now(UTC))
        known = _known(state)
        wanted = {one.uid: one for one in _wanted(connection, run.now)}
        for one in wanted.values():
            run.keep(one, known.get(one.uid, Applied(None)))
        for uid, last in known.items():
            if uid not in wanted:
                run.end(uid, last)
        _note_ids(connection, state)
        return Synced(run.made, run.ended)


def end_all(server: Server, state: GrafanaState) -> None:
    """End every silence that driftline made."""
    with state.locked():
        run = _Run(server, state, datetime.now(UTC))
        for uid, last in _known(state).items():
            run.end(uid, last)


def _known(state: GrafanaState) -> dict[str, Applied]:
    return {uid: last for (kind, uid), last in state.load().items() if kind == _KIND}


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


@dataclass
class _Run:
    """One sync under way."""

    server: Server
    state: GrafanaState
    now: datetime
    made: int = 0
    ended: int = 0

    @cached_property
    def _there(self) -> list[Json]:
        """Those of Grafana: one request, and none when all is as it was left."""
        found: list[Json] = self.server.call("read the silences", _holding)
        return found

    def keep(self, silence: Silence, last: Applied) -> None:
        """Make it or prolong it, if need be; one that is there already is taken over."""
        applied = last.applied or {}
        if applied and not last.pending and _lasts(silence, applied, self.now):
            return
        there = _ours(self._there, silence.uid, {**silence.body, "id": applied.get("id")})
        if not there and applied and datetime.fromisoformat(applied["endsAt"]) > self.now:
            return  # a person ended it
        there.sort(key=lambda one: not _lasts(silence, one, self.now))
        for surplus in there[1:]:
            self._end(surplus)
        first = there[0] if there else None
        if first is not None and _lasts(silence, first, self.now):
            noted = {key: first[key] for key in ("id", "endsAt", "matchers")}
        else:
            noted = self._send(silence, first)
        self.state.record((_KIND, silence.uid), noted, {})
        self.made += 1

    def end(self, uid: str, last: Applied) -> None:
        """End all that were made for it: one whose answer was lost is not known by its id."""
        for one in _ours(self._there, uid, {**(last.pending or {}), **(last.applied or {})}):
            self._end(one)
        self.state.forget((_KIND, uid))

    def _send(self, silence: Silence, old: Json | None) -> Json:
        """Make it, or change the old one, which may give it another id."""
        body = {**silence.body, "id": old["id"]} if old else silence.body
        self.state.intend((_KIND, silence.uid), body)
        sent = False

        def send(api: GrafanaApi) -> str:
            nonlocal sent
            # it may have been done although the answer said otherwise, or none came
            there = _ours(_holding(api), silence.uid, body) if sent else []
            done = [one["id"] for one in there if _lasts(silence, one, self.now)]
            sent = True
            return done[0] if done else extra_calls.silence(api, body)

        number = self.server.call(f"silence {silence.model!r}", send)
        return {"id": number, "endsAt": body["endsAt"], "matchers": body["matchers"]}

    def _end(self, one: Json) -> None:
        try:
            self.server.call("end a silence", lambda api: extra_calls.end_silence(api, one["id"]))
        except GrafanaError as error:
            if not error.gone:
                raise
        else:
            self.ended += 1


def _holding(api: GrafanaApi) -> list[Json]:
    """The silences that are not over."""
    return [one for one in extra_calls.silences(api) if one["status"]["state"] != "expired"]


def _ours(there: list[Json], uid: str, noted: Json) -> list[Json]:
    """Those made for one row here: by id, and by ending, of the same model."""
    model = [one for one in noted.get("matchers", []) if one["name"] == "model"]
    return [
        one
        for one in there
        if one["id"] == noted.get("id")
        or (one["comment"].endswith(_ending(uid)) and any(m in model for m in one["matchers"]))
    ]


def _lasts(silence: Silence, there: Json, now: datetime) -> bool:
    """Whether the one in Grafana matches the same, and ends when it should."""
    if _meaning(there.get("matchers", [])) != _meaning(silence.body["matchers"]):
        return False  # an earlier version of driftline made it
    ends = datetime.fromisoformat(there["endsAt"])
    if silence.uid.startswith("incident-"):
        return ends - now > _OPEN_END - _PROLONG
    return abs(ends - silence.until) < _WRITTEN_TO


def _meaning(matchers: list[Json]) -> list[tuple[str, ...]]:
    """In one order, whoever wrote them."""
    return sorted(tuple(str(one[key]) for key in sorted(one)) for one in matchers)


def _note_ids(connection: Connection, state: GrafanaState) -> None:
    """Beside each silence its number in Grafana, for people and pages."""
    for (kind, uid), last in state.load().items():
        if kind == _KIND and uid.startswith("silence-") and last.applied is not None:
            connection.execute(
                "UPDATE driftline.silence SET grafana_id = %s WHERE id = %s"
                " AND grafana_id IS DISTINCT FROM %s",
                [last.applied["id"], int(uid.removeprefix("silence-")), last.applied["id"]],
            )
