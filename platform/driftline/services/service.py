"""The interface between the stack and its services."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from driftline.services.cache import Say
from driftline.services.process import Command

Ports = Mapping[str, int]


@dataclass(frozen=True)
class Place:
    """Where a service lives: its own folder, the stack's secrets, its ports."""

    folder: Path
    secrets: Path
    ports: Ports


class Service(Protocol):
    """One server of the stack: how to set it up, start, query and stop it."""

    name: str
    section: str  # its part of `stack.json`
    port_names: tuple[str, ...]  # the first is the one that clients connect to
    stop_signal: signal.Signals
    start_seconds: float  # how long a slow machine may take

    def prepare(self, place: Place, say: Say) -> None:
        """Fetch programs and make the folder, where not done before; raises ServiceError."""

    def command(self, place: Place) -> Command:
        """What to start."""

    def ping(self, place: Place) -> str:
        """Make a real request with the password; returns the version, raises while not ready."""

    def settle(self, place: Place) -> None:
        """Setup that needs the running server, such as creating roles; safe to repeat."""

    def address(self, place: Place) -> dict[str, Any]:
        """How clients reach it, for `stack.json`; paths absolute, no secret."""
