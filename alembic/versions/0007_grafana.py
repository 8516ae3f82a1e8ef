"""The state last applied to Grafana: the base of a three-way merge."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
CLOCK = sa.text("clock_timestamp()")


def _key() -> list[sa.Column[object]]:
    return [
        sa.Column("server", sa.Text, primary_key=True),
        sa.Column("org", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("uid", sa.Text, primary_key=True),
    ]


def upgrade() -> None:
    op.create_table(
        "grafana_object",
        *_key(),
        sa.Column("applied", JSONB),
        sa.Column("pending", JSONB),
        sa.Column("applied_at", TIME, server_default=CLOCK, nullable=False),
        schema="driftline",
    )
    # a separate table, because role `read`, which Grafana itself uses, must not see it
    op.create_table(
        "grafana_secret",
        *_key(),
        sa.Column("setting", sa.Text, primary_key=True),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        schema="driftline",
    )


def downgrade() -> None:
    op.drop_table("grafana_secret", schema="driftline")
    op.drop_table("grafana_object", schema="driftline")
