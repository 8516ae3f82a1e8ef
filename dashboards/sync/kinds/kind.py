"""What a kind of Grafana's objects must be able to do, for all kinds to be planned alike."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.errors import DriftlineError

Json = dict[str, Any]
REDACTED = "[REDACTED]"
EDITABLE, LOCKED = "editable", "locked"  # of `grafana.provenance`


@dataclass(frozen=True)
class Wanted:
    """One object as it is generated.

    Attributes:
        kind, uid: what names it in one organisation.
        title: for people.
        content: as the API takes it, without secrets.
        secrets: by setting.
        failed: why there is no content: what is there stays as it is.
    """

    kind: str
    uid: str
    title: str
    content: Json
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    failed: DriftlineError | None = None


@dataclass(frozen=True)
class Sent:
    """What `send` is to bring there.

    Attributes:
        tree: the merged tree.
        plain: the generated content, when nobody has edited anything: it is sent as it is.
        live: what is there, or None for a new one.
        secrets: all of them; `changed` names those that the server does not have yet.
    """

    uid: str
    tree: Json
    plain: Json | None
    live: Json | None = field(repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    changed: frozenset[str] = frozenset()


class Kind(Protocol):
    """A kind of objects: how they are read, compared, written and deleted.

    Attributes:
        name: of the kind.
        lockable: its objects are editable or locked by `grafana.provenance`.
    """

    name: str
    lockable: bool

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """Those of the uids that are there; an error stands for one that can't be read."""

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """What people and driftline mean of it, as mappings, without the settings in secrets."""

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:
        """The secrets that the server does not have."""

    def send(self, server: Server, sent: Sent) -> None:
        """Create or change; refuses when somebody else has changed it since it was read."""

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """Remove; the reason when it has to stay."""


def provenance(live: Json | None) -> str:
    """Who may edit an alerting object: `editable`, `locked`, or what it comes from."""
    found = str((live or {}).get("provenance") or "")
    return {"": EDITABLE, "api": LOCKED}.get(found, found)


def check_provenance(server: Server, what: str, live: Json | None) -> None:
    """See that an alerting object may be written the way that the config says.

    Raises:
        GrafanaError: it is from a file, or it is locked and cannot become editable.
    """
    found = provenance(live)
    if found in (EDITABLE, server.settings.provenance):
        return
    if found == LOCKED:
        raise GrafanaError(
            f"{what} is locked, and Grafana does not make it editable again: set "
            "grafana.provenance: locked, or delete it in Grafana, and it is made anew"
        )
    raise GrafanaError(
        f"{what} is provisioned ({found!r}) and may not be edited: change it where it comes from"
    )


def changed_meanwhile(what: str) -> GrafanaError:
    """The error of one that is not any more as it was read."""
    return GrafanaError(f"{what} was changed by somebody else meanwhile: run it again", 412)
