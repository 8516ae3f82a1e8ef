"""Verdicts on one version beside another say which one that was."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLES = ("verdict", "verdict_history")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(
            table,
            sa.Column("against", sa.Integer, server_default="0", nullable=False),
            schema="driftline",
        )


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "against", schema="driftline")
