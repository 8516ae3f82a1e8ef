"""Hourly sums of profiles, so that a long window reads few rows."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "profile_hour",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("bucket", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("role", sa.Text, primary_key=True),
        sa.Column("segment", sa.Text, primary_key=True),
        sa.Column("binning_id", sa.Text, primary_key=True),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("cells", sa.LargeBinary, nullable=False),
        schema="driftline",
    )
    # cells are already packed: compressing them again costs more than it saves
    op.execute("ALTER TABLE driftline.profile_hour ALTER COLUMN cells SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table("profile_hour", schema="driftline")
