"""The models that a runner watches, and when it stopped: its last heartbeat is kept."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("stopped_at", sa.DateTime(timezone=True)),
        sa.Column("watches", postgresql.ARRAY(sa.Text), nullable=False, server_default="{}"),
    ):
        op.add_column("runner", column, schema="driftline")


def downgrade() -> None:
    for name in ("watches", "stopped_at"):
        op.drop_column("runner", name, schema="driftline")
