"""The addresses that accepted a message: only the others are retried."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    taken = sa.Column("taken", ARRAY(sa.Text), server_default="{}", nullable=False)
    op.add_column("notification", taken, schema="driftline")
    op.create_index("notification_incident", "notification", ["incident_id"], schema="driftline")


def downgrade() -> None:
    op.drop_index("notification_incident", "notification", schema="driftline")
    op.drop_column("notification", "taken", schema="driftline")
