"""Column names in the field's usual terms."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_RENAMED = (
    ("incident", "false_per_week", "false_alarms_per_week"),
    ("model", "forgotten", "forget_count"),
    ("notification", "next_try_at", "next_attempt_at"),
    ("notification", "tries", "attempts"),
    ("report", "made_at", "created_at"),
    ("runner", "beat_at", "heartbeat_at"),
)


def upgrade() -> None:
    for table, old, new in _RENAMED:
        op.alter_column(table, old, new_column_name=new, schema="driftline")
    op.drop_column("monitor_progress", "dirty_seen", schema="driftline")  # was never read
    op.execute("UPDATE driftline.version_event SET kind = 'reinstated' WHERE kind = 'released'")


def downgrade() -> None:
    op.execute("UPDATE driftline.version_event SET kind = 'released' WHERE kind = 'reinstated'")
    op.execute(
        "ALTER TABLE driftline.monitor_progress ADD COLUMN dirty_seen bigint NOT NULL DEFAULT 0"
    )
    for table, old, new in _RENAMED:
        op.alter_column(table, new, new_column_name=old, schema="driftline")
