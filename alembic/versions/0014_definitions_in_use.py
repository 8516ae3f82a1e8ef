"""The feature definition that a version scored with, even after it changed."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_definition",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(
            "since",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            primary_key=True,
        ),
        sa.Column("features_hash", sa.Text, nullable=False),
        schema="driftline",
    )


def downgrade() -> None:
    op.drop_table("model_definition", schema="driftline")
