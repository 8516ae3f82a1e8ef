"""Profiles of parts of hours, for the references of short windows."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_NAME, _TABLE = "profile_span", "profile"


def upgrade() -> None:
    op.drop_constraint(_NAME, _TABLE, schema="driftline")
    allowed = "span_minutes IN (1, 5, 10, 15, 30, 60, 1440)"
    op.create_check_constraint(_NAME, _TABLE, allowed, schema="driftline")


def downgrade() -> None:
    op.drop_constraint(_NAME, _TABLE, schema="driftline")
    # rows of parts of hours are kept: every revision reads them
    op.create_check_constraint(
        _NAME,
        _TABLE,
        "span_minutes IN (1, 60, 1440)",
        schema="driftline",
        postgresql_not_valid=True,
    )
