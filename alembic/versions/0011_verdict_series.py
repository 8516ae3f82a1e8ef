"""Verdicts with the version compared against and an interval; an index for a monitor's past."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLES = ("verdict", "verdict_history")


def upgrade() -> None:
    for table in _TABLES:
        for column in (
            sa.Column("against", sa.Integer, server_default="0", nullable=False),
            sa.Column("low", sa.Double),
            sa.Column("high", sa.Double),
        ):
            op.add_column(table, column, schema="driftline")
    op.create_index(
        "verdict_series",
        "verdict",
        ["model", "window_seconds", "monitor", "window_end"],
        schema="driftline",
    )


def downgrade() -> None:
    op.drop_index("verdict_series", "verdict", schema="driftline")
    for table in _TABLES:
        for column in ("against", "low", "high"):
            op.drop_column(table, column, schema="driftline")
