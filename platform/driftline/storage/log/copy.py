"""Arrow batches into tables, by PostgreSQL's binary COPY."""

import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg import sql

from driftline import names
from driftline.storage.connection import Connection

_JSONB = frozenset({"outputs"})  # text in Arrow, jsonb in the tables


def copy(
    connection: Connection, table: str, rows: pa.RecordBatch, schema: str | None = names.SCHEMA
) -> None:
    """COPY a batch into a table, by column name; `schema=None` for a temporary table."""
    encoder = _encoder(rows.schema)
    name = sql.Identifier(schema, table) if schema else sql.Identifier(table)
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.schema.names))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(name, columns)
    with connection.cursor() as cursor, cursor.copy(statement) as stream:
        stream.write(encoder.write_header())
        stream.write(encoder.write_batch(rows))
        stream.write(encoder.finish())


def _encoder(schema: pa.Schema) -> ArrowToPostgresBinaryEncoder:
    builders = {field.name: ArrowToPostgresBinaryEncoder.infer_encoder(field) for field in schema}
    for name in _JSONB & builders.keys():
        builders[name] = StringEncoderBuilder.new_with_output(schema.field(name), Jsonb())
    return ArrowToPostgresBinaryEncoder.new_with_encoders(schema, builders)
