"""What a kind of Grafana's objects must be able to do, for all kinds to be planned alike."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dashboards.server import GrafanaError, Server
from driftline.errors import DriftlineError

Json = dict[str, Any]
REDACTED = "[REDACTED]"


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
    """A kind of objects: how they are read, compared, written and deleted."""

    name: str

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


def check_provenance(server: Server, what: str, live: Json | None) -> None:
    """See that an alerting object may be written the way that the config says.

    Raises:
        GrafanaError: it is from a file, or it is locked and cannot become editable.
    """
    provenance = (live or {}).get("provenance") or ""
    if provenance in ("", "api") and (provenance == "" or server.settings.provenance == "locked"):
        return
    way_out = (
        "set grafana.provenance: locked, or delete it in Grafana"
        if provenance == "api"
        else "change it where it comes from"
    )
    raise GrafanaError(f"{what} is provisioned ({provenance!r}) and may not be edited: {way_out}")


def changed_meanwhile(what: str) -> GrafanaError:
    """The error of one that is not any more as it was read."""
    return GrafanaError(f"{what} was changed by somebody else meanwhile: run it again", 412)
