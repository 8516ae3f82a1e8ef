"""Synchronise silences and acknowledgements of driftline with Grafana's silences."""

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

_OPEN_END = timedelta(days=7)  # of an acknowledgement, extended until its incident is resolved
_EXTEND_AFTER = timedelta(days=1)
_PRECISION = timedelta(seconds=1)  # Grafana returns an end with less precision than was sent
_KIND = "silence"


@dataclass(frozen=True)
class Silence:
    """A period without notifications for a model or one of its families."""

    uid: str
    model: str
    family: str | None
    since: datetime
    until: datetime
    by: str
    reason: str

    @property
    def body(self) -> Json:
        """The silence in Grafana's format."""
        # rules of others may have the label too; a rule keeps its UID when people rename it
        matchers = [_matcher("__alert_rule_uid__", RULES, regex=True)]
        matchers.append(_matcher("model", self.model))
        if self.family is not None:
            matchers.append(_matcher("family", self.family))
        return {
            "matchers": matchers,
            "startsAt": self.since.isoformat(),
            "endsAt": self.until.isoformat(),
            "createdBy": self.by,
            "comment": f"{self.reason} {_marker(self.uid)}",
        }


def _marker(uid: str) -> str:
    """The end of the comment, which identifies a silence whose id is unknown."""
    return f"({uid})"


def _matcher(name: str, value: str, *, regex: bool = False) -> Json:
    return {"name": name, "value": value, "isRegex": regex, "isEqual": True}


@dataclass(frozen=True)
class Synced:
    """How many silences were created or extended, and ended."""

    created: int
    ended: int


def sync(
    server: Server, connection: Connection, state: GrafanaState, patience: timedelta | None = None
) -> Synced:
    """Create missing silences in Grafana, extend or end existing ones.

    Safe to repeat at any time. A silence that a person ended in Grafana is not created again, and
    one whose response from Grafana was lost is found again.

    Parameters:
        patience: how long to wait for a concurrent apply or sync; default: until it ends.

    Raises:
        GrafanaError: the server does not respond, or the token lacks permission.
        ServiceError: the concurrent apply or sync takes longer.
    """
    with state.locked(patience):
        run = _Run(server, state, datetime.now(UTC))
        applied = _applied(state)
        desired = {silence.uid: silence for silence in _desired(connection, run.now)}
        for silence in desired.values():
            run.ensure(silence, applied.get(silence.uid, Applied(None)))
        for uid, last in applied.items():
            if uid not in desired:
                run.end(uid, last)
        _note_ids(connection, state)
        return Synced(run.created, run.ended)


def end_all(server: Server, state: GrafanaState) -> None:
    """End every silence that driftline created."""
    with state.locked():
        run = _Run(server, state, datetime.now(UTC))
        for uid, last in _applied(state).items():
            run.end(uid, last)


def _applied(state: GrafanaState) -> dict[str, Applied]:
    return {uid: last for (kind, uid), last in state.load().items() if kind == _KIND}


def _desired(connection: Connection, now: datetime) -> list[Silence]:
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
                f"incident-{incident}",
                model,
                family,
                since,
                now + _OPEN_END,
                by or "driftline",
                note or "acknowledged",
            )
            for incident, model, family, since, by, note in acknowledged
        ),
    ]


@dataclass
class _Run:
    """One sync in progress."""

    server: Server
    state: GrafanaState
    now: datetime
    created: int = 0
    ended: int = 0

    @cached_property
    def _active(self) -> list[Json]:
        """The silences in Grafana: one request, and none if nothing changed since the last sync."""
        silences: list[Json] = self.server.call("read the silences", _active_silences)
        return silences

    def ensure(self, silence: Silence, last: Applied) -> None:
        """Create or extend the silence if necessary; an existing one is adopted."""
        applied = last.applied or {}
        if applied and not last.pending and _is_current(silence, applied, self.now):
            return
        existing = _ours(self._active, silence.uid, {**silence.body, "id": applied.get("id")})
        if not existing and applied and datetime.fromisoformat(applied["endsAt"]) > self.now:
            return  # a person ended it in Grafana
        existing.sort(key=lambda item: not _is_current(silence, item, self.now))
        for surplus in existing[1:]:
            self._end(surplus)
        first = existing[0] if existing else None
        if first is not None and _is_current(silence, first, self.now):
            record = {key: first[key] for key in ("id", "endsAt", "matchers")}
        else:
            record = self._send(silence, first)
        self.state.record((_KIND, silence.uid), record, {})
        self.created += 1

    def end(self, uid: str, last: Applied) -> None:
        """End all silences created for one row, including those whose id is unknown."""
        for item in _ours(self._active, uid, {**(last.pending or {}), **(last.applied or {})}):
            self._end(item)
        self.state.forget((_KIND, uid))

    def _send(self, silence: Silence, old: Json | None) -> Json:
        """Create the silence, or change the old one, which may change its id."""
        body = {**silence.body, "id": old["id"]} if old else silence.body
        self.state.intend((_KIND, silence.uid), body)
        sent = False

        def send(api: GrafanaApi) -> str:
            nonlocal sent
            # a previous attempt may have succeeded although it returned an error or nothing
            existing = _ours(_active_silences(api), silence.uid, body) if sent else []
            ids = [item["id"] for item in existing if _is_current(silence, item, self.now)]
            sent = True
            return ids[0] if ids else extra_calls.silence(api, body)

        silence_id = self.server.call(f"silence {silence.model!r}", send)
        return {"id": silence_id, "endsAt": body["endsAt"], "matchers": body["matchers"]}

    def _end(self, silence: Json) -> None:
        try:
            self.server.call(
                "end a silence", lambda api: extra_calls.end_silence(api, silence["id"])
            )
        except GrafanaError as error:
            if not error.not_found:
                raise
        else:
            self.ended += 1


def _active_silences(api: GrafanaApi) -> list[Json]:
    """The silences that have not expired."""
    return [item for item in extra_calls.silences(api) if item["status"]["state"] != "expired"]


def _ours(silences: list[Json], uid: str, record: Json) -> list[Json]:
    """The silences created for one row: by id, or by marker and model."""
    model = [matcher for matcher in record.get("matchers", []) if matcher["name"] == "model"]
    return [
        item
        for item in silences
        if item["id"] == record.get("id")
        or (item["comment"].endswith(_marker(uid)) and any(m in model for m in item["matchers"]))
    ]


def _is_current(silence: Silence, existing: Json, now: datetime) -> bool:
    """Whether the silence in Grafana has the right matchers and end."""
    if _normalised(existing.get("matchers", [])) != _normalised(silence.body["matchers"]):
        return False  # created by an earlier version of driftline
    ends = datetime.fromisoformat(existing["endsAt"])
    if silence.uid.startswith("incident-"):
        return ends - now > _OPEN_END - _EXTEND_AFTER
    return abs(ends - silence.until) < _PRECISION


def _normalised(matchers: list[Json]) -> list[tuple[str, ...]]:
    """The matchers in a canonical order."""
    return sorted(tuple(str(item[key]) for key in sorted(item)) for item in matchers)


def _note_ids(connection: Connection, state: GrafanaState) -> None:
    """Store the id in Grafana with each silence."""
    for (kind, uid), last in state.load().items():
        if kind == _KIND and uid.startswith("silence-") and last.applied is not None:
            connection.execute(
                "UPDATE driftline.silence SET grafana_id = %s WHERE id = %s"
                " AND grafana_id IS DISTINCT FROM %s",
                [last.applied["id"], int(uid.removeprefix("silence-")), last.applied["id"]],
            )
