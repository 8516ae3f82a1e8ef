"""Whether a runner judged a window: a backfill does not change the runners' progress."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("live", sa.Boolean, server_default="true", nullable=False)
    op.add_column("judged_window", column, schema="driftline")


def downgrade() -> None:
    op.drop_column("judged_window", "live", schema="driftline")
