"""What the stand-in for Grafana remembers, and how it refuses."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.grafana import refusals, versions

Json = dict[str, Any]
VERSION = "11.0.0"


class RefusedError(Exception):
    """An answer other than the usual one, from anywhere below a handler."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def refused(code: int, message: str, /, **more: Any) -> RefusedError:
    """The plain form `{message}`."""
    return RefusedError(code, {"message": message, **more})


def traced(status: int, message: str) -> RefusedError:
    """The form `{message, traceID}`."""
    return RefusedError(status, {"message": message, "traceID": ""})


def bad_data() -> RefusedError:
    """What does not parse."""
    return traced(400, "bad request data")


@dataclass
class Store:
    """One organisation of one server.

    Attributes:
        tokens: role by token.
        expired: those of them whose time is over.
        version: that it says it has, and as which it behaves: one of 11 or 12.
        corrupted: whether the Alertmanager's configuration cannot be read any more.
        positions: of rules in their groups, by uid; 1 unless a group said it.
        connect: opens the database of the one data source, as the account that it has.
    """

    tokens: dict[str, str] = field(default_factory=lambda: {"editor": "Editor"})
    expired: set[str] = field(default_factory=set)
    version: str = VERSION
    folders: dict[str, Json] = field(default_factory=dict)
    dashboards: dict[str, Json] = field(default_factory=dict)
    data_sources: dict[str, Json] = field(default_factory=dict)
    contact_points: list[Json] = field(default_factory=list)
    mute_timings: list[Json] = field(default_factory=list)
    policies: Json = field(default_factory=dict)
    rules: list[Json] = field(default_factory=list)
    intervals: dict[tuple[str, str], int] = field(default_factory=dict)
    silences: dict[str, Json] = field(default_factory=dict)
    states: dict[tuple[str, str], str] = field(default_factory=dict)
    connect: Callable[[], Any] | None = None
    corrupted: bool = False
    positions: dict[str, int] = field(default_factory=dict)
    last_id: int = 0

    @property
    def traits(self) -> versions.Traits:
        """Of its version."""
        return versions.traits(self.version)

    def refusal(self, what: str, **values: Any) -> RefusedError:
        """The answer of this version to `what`, which every version refuses."""
        found = refusals.refusal(self.version, what, values)
        assert found is not None, f"{self.version} does not refuse {what!r}"
        return RefusedError(*found)

    def refuse(self, what: str, **values: Any) -> None:
        """Raise it, unless this version does not mind."""
        if refusals.refusal(self.version, what, values) is not None:
            raise self.refusal(what, **values)

    def next_id(self) -> int:
        """A number that nothing else has."""
        self.last_id += 1
        return self.last_id


def now() -> str:
    """The time as the server writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_uid() -> str:
    """A uid as the server makes them."""
    return secrets.token_hex(7)


def slug(title: str) -> str:
    """As in addresses of pages."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def legal_uid(uid: str) -> bool:
    """Letters, digits, - and _."""
    return bool(re.fullmatch(r"[A-Za-z0-9_-]*", uid))
