"""How many times a model was forgotten: older checkpoints hold positions of erased rows."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("forgotten", sa.Integer, nullable=False, server_default="0")
    op.add_column("model", column, schema="driftline")


def downgrade() -> None:
    op.drop_column("model", "forgotten", schema="driftline")
