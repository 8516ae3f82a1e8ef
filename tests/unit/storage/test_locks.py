"""Where locks are taken, and what the documentation says of rights."""

import re
from pathlib import Path

from driftline.services.public_rights import REVOKE

ROOT = Path(__file__).parents[3]


def test_no_advisory_lock_is_taken() -> None:
    """Any role may take one, and so stall whatever it guards."""
    folders = ("platform", "registry", "monitors", "dashboards", "alembic")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 200
    taken = [path for path in files if re.search("pg_(try_)?advisory", path.read_text())]
    assert taken == []


def test_administrators_are_shown_what_the_local_stack_revokes() -> None:
    assert REVOKE in (ROOT / "docs" / "operations.md").read_text()
