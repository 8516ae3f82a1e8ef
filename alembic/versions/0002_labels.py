"""Labels."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "label",
        sa.Column("label_time", TIME, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("label", sa.Double, nullable=False),
        sa.Column("source", sa.Integer, nullable=False),
        sa.Column("kafka_offset", sa.BigInteger, nullable=False),
        sa.Column("kafka_time", TIME, nullable=False),
        sa.Column("logged_at", TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        schema="driftline",
    )
    op.execute(
        "SELECT create_hypertable('driftline.label', by_range('label_time', INTERVAL '7 days'),"
        " create_default_indexes => false)"
    )
    op.create_index(
        "label_key",
        "label",
        ["model", "label_time", "event_id"],
        unique=True,
        schema="driftline",
    )
    op.create_index(
        "label_offset",
        "label",
        ["kafka_offset"],
        schema="driftline",
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )


def downgrade() -> None:
    op.drop_table("label", schema="driftline")
