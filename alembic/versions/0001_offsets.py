"""The sources of records, and the outcome of each offset."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
CLOCK = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "source",
        sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.UniqueConstraint("model", "stream", "topic", "partition", name="source_key"),
        sa.CheckConstraint("stream IN ('events', 'labels')", name="source_stream"),
        schema="driftline",
    )
    op.create_table(
        "ledger",
        sa.Column("committed_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("source", sa.Integer, nullable=False),
        sa.Column("first_offset", sa.BigInteger, nullable=False),
        sa.Column("last_offset", sa.BigInteger, nullable=False),
        sa.Column("offsets", INT8MULTIRANGE, nullable=False),
        sa.Column("logged", sa.BigInteger, nullable=False),
        sa.Column("duplicate", sa.BigInteger, nullable=False),
        sa.Column("rejected", sa.BigInteger, nullable=False),
        sa.Column("filtered", sa.BigInteger, nullable=False),
        schema="driftline",
    )
    op.create_table(
        "duplicate",
        sa.Column("seen_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("source", sa.Integer, nullable=False),
        sa.Column("kafka_offset", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("event_time", TIME, nullable=False),
        schema="driftline",
    )
    op.create_table(
        "rejected",
        sa.Column("rejected_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("source", sa.Integer, nullable=False),
        sa.Column("kafka_offset", sa.BigInteger, nullable=False),
        sa.Column("kafka_time", TIME, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary),
        sa.Column("replayed_at", TIME),
        schema="driftline",
    )
    for table, time in (
        ("ledger", "committed_at"),
        ("duplicate", "seen_at"),
        ("rejected", "rejected_at"),
    ):
        op.execute(
            f"SELECT create_hypertable('driftline.{table}', by_range('{time}', INTERVAL '7 days'),"
            " create_default_indexes => false)"
        )
    op.create_index("ledger_source_offset", "ledger", ["source", "last_offset"], schema="driftline")


def downgrade() -> None:
    for table in ("rejected", "duplicate", "ledger", "source"):
        op.drop_table(table, schema="driftline")
