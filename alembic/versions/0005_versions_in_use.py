"""Promotions, events and quarantines of versions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
CLOCK = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "promotion",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("decided_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("previous", sa.Integer),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("verdict", JSONB),
        sa.CheckConstraint(
            "kind IN ('first', 'promoted', 'forced', 'rolled_back', 'refused')",
            name="promotion_kind",
        ),
        schema="driftline",
    )
    op.create_index("promotion_model", "promotion", ["model", "id"], schema="driftline")
    op.create_table(
        "version_event",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("happened_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, server_default="", nullable=False),
        schema="driftline",
    )
    op.create_index("version_event_model", "version_event", ["model", "id"], schema="driftline")
    op.create_table(
        "quarantine",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("quarantined_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        schema="driftline",
    )
    tables = sa.text("SELECT prediction_table FROM driftline.model")
    for (table,) in op.get_bind().execute(tables).fetchall():
        role = sa.Column("role", sa.Text, server_default="champion", nullable=False)
        op.add_column(table, role, schema="driftline")
        op.alter_column(table, "role", server_default=None, schema="driftline")


def downgrade() -> None:
    tables = sa.text("SELECT prediction_table FROM driftline.model")
    for (table,) in op.get_bind().execute(tables).fetchall():
        op.drop_column(table, "role", schema="driftline")
    for table in ("quarantine", "version_event", "promotion"):
        op.drop_table(table, schema="driftline")
