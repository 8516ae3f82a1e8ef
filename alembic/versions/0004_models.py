"""Models, their versions, and their frozen bins and reference profiles."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
CLOCK = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "model",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("prediction_table", sa.Text, nullable=False),
        sa.Column("declared_at", TIME, server_default=CLOCK, nullable=False),
        schema="driftline",
    )
    op.create_table(
        "binning",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("spec", JSONB, nullable=False),
        sa.Column("created_at", TIME, server_default=CLOCK, nullable=False),
        schema="driftline",
    )
    op.create_table(
        "model_version",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("run_id", sa.Text),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("signature", JSONB, nullable=False),
        sa.Column("features_hash", sa.Text, nullable=False),
        sa.Column("binning_id", sa.Text, nullable=False),
        sa.Column("registered_at", TIME, server_default=CLOCK, nullable=False),
        schema="driftline",
    )
    op.create_table(
        "reference",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("binning_id", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("cells", sa.LargeBinary, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("created_at", TIME, server_default=CLOCK, nullable=False),
        schema="driftline",
    )


def downgrade() -> None:
    for table in ("reference", "model_version", "binning", "model"):
        op.drop_table(table, schema="driftline")
