"""The hypertable of shadow predictions: scores of other versions than the serving one."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from driftline import names
from driftline.errors import SchemaError
from driftline.storage.connection import Connection, driver

_TIME = sa.DateTime(timezone=True)


def declare(connection: sa.Connection, model: str) -> None:
    """Create the table unless it exists, in the caller's transaction; see `schema.declare`."""
    if exists(driver(connection), model):
        return
    table = sa.Table(
        names.shadow_table(model),
        sa.MetaData(schema=names.SCHEMA),
        sa.Column("event_time", _TIME, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("score", sa.Double),  # null if the version failed
        sa.Column("outputs", postgresql.JSONB),
        sa.Column("source", sa.Integer, nullable=False),
        sa.Column("kafka_offset", sa.BigInteger, nullable=False),
        sa.Column("scored_at", _TIME, nullable=False),
        sa.Column("inference_ms", sa.REAL, nullable=False),
    )
    table.create(connection)
    connection.execute(
        sa.text(
            "SELECT create_hypertable(cast(:table AS regclass), "
            "by_range('event_time', INTERVAL '7 days'), create_default_indexes => false)"
        ),
        {"table": table.fullname},
    )
    key = (table.c.event_time, table.c.event_id, table.c.model_version)
    sa.Index(f"{table.name}_key", *key, unique=True).create(connection)
    sa.Index(
        f"{table.name}_offset",
        table.c.kafka_offset,
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    ).create(connection)


def check(connection: Connection, model: str) -> None:
    """Check that the table exists; see `schema.check`."""
    if not exists(connection, model):
        raise SchemaError(f"model {model!r} has no shadow table: run 'driftline migrate'")


def exists(connection: Connection, model: str) -> bool:
    """Whether the model has a shadow table: a model that left the config might lack one."""
    row = connection.execute(
        "SELECT to_regclass(%s) IS NOT NULL", [f"{names.SCHEMA}.{names.shadow_table(model)}"]
    ).fetchone()
    return row == (True,)
