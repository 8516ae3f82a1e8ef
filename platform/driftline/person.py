"""Who types a command, for the record."""

import getpass
import os
import socket


def whoami() -> str:
    """`DRIFTLINE_USER`, else user@host."""
    return os.environ.get("DRIFTLINE_USER") or f"{getpass.getuser()}@{socket.gethostname()}"
