"""The user who runs a command, for the record."""

import getpass
import os
import socket


def current_user() -> str:
    """`DRIFTLINE_USER`, or user@host by default."""
    return os.environ.get("DRIFTLINE_USER") or f"{getpass.getuser()}@{socket.gethostname()}"
