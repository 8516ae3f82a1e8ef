"""Locks as rows, which a read-only role cannot take; the sessions of runners."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def _backend() -> tuple[sa.Column, ...]:
    return (
        sa.Column("backend_pid", sa.Integer),
        sa.Column("backend_user", postgresql.OID),
        sa.Column("backend_start", sa.DateTime(timezone=True)),
    )


def upgrade() -> None:
    op.create_table(
        "lock",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        *_backend(),
        schema="driftline",
    )
    for column in _backend():
        op.add_column("runner", column, schema="driftline")


def downgrade() -> None:
    for column in _backend():
        op.drop_column("runner", column.name, schema="driftline")
    op.drop_table("lock", schema="driftline")
