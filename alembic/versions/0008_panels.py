"""Indexes for dashboards that read one model's rows by commit time."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INDEXES = (("ledger", "committed_at"), ("rejected", "rejected_at"))


def upgrade() -> None:
    for table, time in INDEXES:
        op.create_index(f"{table}_source_time", table, ["source", time], schema="driftline")


def downgrade() -> None:
    for table, _ in INDEXES:
        op.drop_index(f"{table}_source_time", table, schema="driftline")
