"""The protocol of a kind of Grafana objects, so that all kinds are planned the same way."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.errors import DriftlineError

Json = dict[str, Any]
REDACTED = "[REDACTED]"
EDITABLE, LOCKED = "editable", "locked"  # of `grafana.provenance`


@dataclass(frozen=True)
class DesiredObject:
    """One object of the desired state.

    Attributes:
        kind, uid: identify it within the organisation.
        title: for display.
        content: in the format of the API, without secrets.
        secrets: by setting.
        failed: why there is no content; the existing object is kept unchanged.
    """

    kind: str
    uid: str
    title: str
    content: Json
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    failed: DriftlineError | None = None


@dataclass(frozen=True)
class Payload:
    """What `send` writes.

    Attributes:
        tree: the merged tree.
        unmerged: the generated content, if nobody edited the object: it is sent unchanged.
        live: the existing object, or None for a new one.
        secrets: all secrets; `changed` names those that the server does not have yet.
    """

    uid: str
    tree: Json
    unmerged: Json | None
    live: Json | None = field(repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    changed: frozenset[str] = frozenset()


class Kind(Protocol):
    """A kind of objects: how to read, compare, write and delete them.

    Attributes:
        name: the name of the kind.
        lockable: whether `grafana.provenance` makes its objects editable or locked.
    """

    name: str
    lockable: bool

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """The existing objects by UID; an error stands for an object that can't be read."""

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """The parts that people and driftline define, as mappings, without the secret settings."""

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:
        """The names of secrets that the server does not have; none by default."""
        return set()

    def send(self, server: Server, payload: Payload) -> None:
        """Create or change; fails if somebody else has changed the object since it was read."""

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """Delete; returns the reason if the object must be kept."""


def provenance(live: Json | None) -> str:
    """Who may edit an alerting object: `editable`, `locked`, or the source that provisioned it."""
    value = str((live or {}).get("provenance") or "")
    return {"": EDITABLE, "api": LOCKED}.get(value, value)


def check_provenance(server: Server, name: str, live: Json | None) -> None:
    """Check that an alerting object may be written with the configured provenance.

    Raises:
        GrafanaError: it is provisioned from a file, or locked and cannot become editable.
    """
    current = provenance(live)
    if current in (EDITABLE, server.settings.provenance):
        return
    if current == LOCKED:
        raise GrafanaError(
            f"{name} is locked, and Grafana cannot make it editable again: set "
            "grafana.provenance: locked, or delete it in Grafana and apply again to recreate it"
        )
    raise GrafanaError(
        f"{name} is provisioned ({current!r}) and cannot be edited: change it at its source"
    )


def stale_error(name: str) -> GrafanaError:
    """The error for an object that was changed since it was read."""
    return GrafanaError(f"{name} was changed by somebody else in the meantime: apply again", 412)
