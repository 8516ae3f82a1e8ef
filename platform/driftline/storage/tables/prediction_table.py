"""The typed hypertable of a model's predictions: one column per feature, evolved with the model."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql

from driftline import names
from driftline.errors import SchemaError
from driftline.storage.connection import Connection, driver

_TIME = sa.DateTime(timezone=True)
# PostgreSQL stores a row in one page of 8 KiB; only long texts are moved out of it.
_ROW_BYTES = 7_600
# Every PostgreSQL table has these columns.
_POSTGRES_COLUMNS = frozenset(("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"))


@dataclass(frozen=True)
class _Kind:
    """A feature type in the config, in SQL and in Arrow, and the most bytes it takes in a row."""

    name: str
    sql: str
    column: Any
    arrow: pa.DataType
    width: int


_INT = _Kind("int", "bigint", sa.BigInteger(), pa.int64(), 8)
_FLOAT = _Kind("float", "double precision", sa.Double(), pa.float64(), 8)
_STRING = _Kind("string", "text", sa.Text(), pa.string(), 18)
_BOOL = _Kind("bool", "boolean", sa.Boolean(), pa.bool_(), 1)
_TENSOR = _Kind("tensor", "real[]", postgresql.ARRAY(sa.REAL), pa.list_(pa.float32()), 18)
_BY_SQL = {kind.sql: kind for kind in (_INT, _FLOAT, _STRING, _BOOL, _TENSOR)}


def declare(connection: sa.Connection, model: str, features: pa.Schema, *, widen: bool) -> None:
    """Create or evolve the table in the caller's transaction; see `schema.declare`."""
    desired = _kinds(model, features)
    table = names.prediction_table(model)
    operations = Operations(MigrationContext.configure(connection))
    if present := _columns(driver(connection), table):
        _evolve(operations, model, present, desired, widen=widen)
    else:
        _create(operations, table, desired)
    connection.execute(
        sa.text(
            "INSERT INTO driftline.model (name, prediction_table) VALUES (:name, :table)"
            " ON CONFLICT DO NOTHING"
        ),
        {"name": model, "table": table},
    )


def check(connection: Connection, model: str, features: pa.Schema) -> None:
    """Check that every feature has its column; see `schema.check`."""
    present = _columns(connection, names.prediction_table(model))
    if not present:
        raise SchemaError(f"model {model!r} has no prediction table: run 'driftline migrate'")
    desired = _kinds(model, features)
    missing = [name for name in desired if name not in present]
    if missing:
        raise SchemaError(
            f"the prediction table of model {model!r} lacks the columns "
            f"{', '.join(map(repr, missing))}: run 'driftline migrate'"
        )
    for name, kind in desired.items():
        if _BY_SQL.get(present[name]) != kind:
            raise _type_changed(model, name, present[name], kind)


def exists(connection: Connection, model: str) -> bool:
    """Whether the model has a table."""
    return bool(_columns(connection, names.prediction_table(model)))


def features(connection: Connection, model: str) -> pa.Schema:
    """The feature columns of the table, including those of earlier definitions.

    Raises:
        SchemaError: the model has no table.
    """
    present = _columns(connection, names.prediction_table(model))
    if not present:
        raise SchemaError(f"model {model!r} has no prediction table: run 'driftline migrate'")
    return pa.schema(
        [
            (name, _BY_SQL[kind].arrow)
            for name, kind in present.items()
            if name not in names.SYSTEM_COLUMNS
        ]
    )


def _kinds(model: str, features: pa.Schema) -> dict[str, _Kind]:
    kinds: dict[str, _Kind] = {}
    for field in features:
        _require_name(model, field.name, taken=field.name in kinds)
        kinds[field.name] = _kind(model, field)
    width = sum(kind.width for kind in kinds.values())
    if width > _ROW_BYTES:
        raise SchemaError(
            f"the {len(kinds)} features of model {model!r} need up to {width} bytes per row, but "
            f"PostgreSQL allows {_ROW_BYTES}: log fewer features"
        )
    return kinds


def _require_name(model: str, name: str, *, taken: bool) -> None:
    feature = f"feature {name!r} of model {model!r}"
    if name in names.SYSTEM_COLUMNS:
        raise SchemaError(f"{feature} has the name of one of driftline's own columns: rename it")
    if name in _POSTGRES_COLUMNS:
        raise SchemaError(f"{feature} has the name of a PostgreSQL system column: rename it")
    if taken:
        raise SchemaError(f"{feature} is defined twice: rename one")
    if not 0 < len(name.encode()) <= 63 or "\0" in name:
        raise SchemaError(
            f"{feature} can't be a column: a name needs 1 to 63 bytes, none of them zero"
        )


def _kind(model: str, field: pa.Field) -> _Kind:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
        return _INT
    if pa.types.is_floating(kind):
        return _FLOAT
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _STRING
    if pa.types.is_boolean(kind):
        return _BOOL
    if pa.types.is_fixed_size_list(kind) and pa.types.is_float32(kind.value_type):
        return _TENSOR
    raise SchemaError(
        f"feature {field.name!r} of model {model!r} has the type {str(kind)!r}: "
        "make it an int (64 bits, signed), a float, a string, a bool or a tensor"
    )


def _create(operations: Operations, table: str, features: dict[str, _Kind]) -> None:
    operations.create_table(
        table,
        sa.Column("event_time", _TIME, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("outputs", postgresql.JSONB),
        sa.Column("late", sa.Boolean, nullable=False),
        sa.Column("source", sa.Integer, nullable=False),
        sa.Column("kafka_offset", sa.BigInteger, nullable=False),
        sa.Column("kafka_time", _TIME, nullable=False),
        sa.Column("scored_at", _TIME, nullable=False),
        sa.Column("inference_ms", sa.REAL, nullable=False),
        sa.Column("lag_ms", sa.REAL, nullable=False),
        *(sa.Column(name, kind.column) for name, kind in features.items()),
        schema=names.SCHEMA,
    )
    bind = {"table": f"{names.SCHEMA}.{table}"}
    operations.get_bind().execute(
        sa.text(
            "SELECT create_hypertable(cast(:table AS regclass), "
            "by_range('event_time', INTERVAL '7 days'), create_default_indexes => false)"
        ),
        bind,
    )
    operations.create_index(
        f"{table}_key", table, ["event_time", "event_id"], unique=True, schema=names.SCHEMA
    )
    operations.create_index(
        f"{table}_offset",
        table,
        ["kafka_offset"],
        schema=names.SCHEMA,
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )


def _columns(connection: Connection, table: str) -> dict[str, str]:
    """Name and type of each column of the table; empty if there is no table."""
    rows = connection.execute(
        """SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
            WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped""",
        [f"{names.SCHEMA}.{table}"],
    ).fetchall()
    return {str(name): str(kind) for name, kind in rows}


def _evolve(
    operations: Operations,
    model: str,
    present: dict[str, str],
    desired: dict[str, _Kind],
    *,
    widen: bool,
) -> None:
    table = names.prediction_table(model)
    for name, kind in desired.items():
        if name not in present:
            operations.add_column(table, sa.Column(name, kind.column), schema=names.SCHEMA)
        elif _BY_SQL.get(present[name]) is not kind:
            if not (widen and _BY_SQL.get(present[name]) is _INT and kind is _FLOAT):
                raise _type_changed(model, name, present[name], kind)
            operations.alter_column(table, name, type_=kind.column, schema=names.SCHEMA)


def _type_changed(model: str, name: str, sql_type: str, kind: _Kind) -> SchemaError:
    column = _BY_SQL.get(sql_type)
    fix = "give the new feature another name"
    if column is _INT and kind is _FLOAT:
        fix = f"widen the column with 'driftline migrate --widen' (it rewrites the table), or {fix}"
    return SchemaError(
        f"feature {name!r} of model {model!r} is {column.name if column else sql_type} in the "
        f"database and {kind.name} now: {fix}"
    )
