"""The messages that a worker is processing: they remain when it is killed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch_attempt",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("worker", sa.Text, primary_key=True),
        sa.Column("offsets", postgresql.INT8MULTIRANGE, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        schema="driftline",
        # each batch updates one row per worker
        postgresql_with={"fillfactor": "50"},
    )


def downgrade() -> None:
    op.drop_table("batch_attempt", schema="driftline")
