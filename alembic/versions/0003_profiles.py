"""Profiles by minute of event time, and the windows whose counts changed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
PROFILE_ID = sa.Sequence("profile_id", schema="driftline", data_type=sa.BigInteger, cache=100)
DIRTY_ID = sa.Sequence("dirty_window_id", schema="driftline", data_type=sa.BigInteger, cache=1)


def upgrade() -> None:
    op.execute(sa.schema.CreateSequence(PROFILE_ID))
    op.execute(sa.schema.CreateSequence(DIRTY_ID))
    op.create_table(
        "profile",
        sa.Column("bucket", TIME, nullable=False),
        sa.Column("id", sa.BigInteger, server_default=PROFILE_ID.next_value(), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("span_minutes", sa.SmallInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("binning_id", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("cells", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("span_minutes IN (1, 60, 1440)", name="profile_span"),
        schema="driftline",
    )
    op.create_table(
        "dirty_window",
        sa.Column("marked_at", TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("id", sa.BigInteger, server_default=DIRTY_ID.next_value(), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("minutes", INT8MULTIRANGE, nullable=False),
        schema="driftline",
    )
    for table, time in (("profile", "bucket"), ("dirty_window", "marked_at")):
        op.execute(
            f"SELECT create_hypertable('driftline.{table}', by_range('{time}', INTERVAL '7 days'),"
            " create_default_indexes => false)"
        )
    op.create_index("profile_model_bucket", "profile", ["model", "bucket"], schema="driftline")
    op.create_index(
        "dirty_window_model_marked_at", "dirty_window", ["model", "marked_at"], schema="driftline"
    )


def downgrade() -> None:
    for table in ("dirty_window", "profile"):
        op.drop_table(table, schema="driftline")
    op.execute(sa.schema.DropSequence(DIRTY_ID))
    op.execute(sa.schema.DropSequence(PROFILE_ID))
