"""The tables of the state applied to Grafana, as SQLAlchemy metadata."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from driftline.storage.tables.fixed_tables import metadata


def _key() -> list[sa.Column[object]]:
    return [
        sa.Column("server", sa.Text, primary_key=True),
        sa.Column("org", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("uid", sa.Text, primary_key=True),
    ]


grafana_object = sa.Table(
    "grafana_object",
    metadata,
    *_key(),
    sa.Column("applied", JSONB),
    sa.Column("pending", JSONB),
    sa.Column(
        "applied_at",
        sa.DateTime(timezone=True),
        server_default=sa.text("clock_timestamp()"),
        nullable=False,
    ),
)

grafana_secret = sa.Table(
    "grafana_secret",
    metadata,
    *_key(),
    sa.Column("setting", sa.Text, primary_key=True),
    sa.Column("salt", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
)
