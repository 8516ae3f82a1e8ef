"""The reason why an incident was resolved."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("resolution", sa.Text, nullable=False, server_default="")
    op.add_column("incident", column, schema="driftline")


def downgrade() -> None:
    op.drop_column("incident", "resolution", schema="driftline")
