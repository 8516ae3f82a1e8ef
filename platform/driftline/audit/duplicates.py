"""A duplicate points to the row that was stored first; that row must be there."""

from psycopg import sql

from driftline import names
from driftline.audit import stored_offsets
from driftline.audit.gather import Scope, Stream
from driftline.audit.report import Difference
from driftline.kafka import intervals
from driftline.storage.connection import Connection

# An event of a stream is named by the model's table alone, a label by table and model.
_ROWS = {
    "events": """SELECT FROM {table} AS r WHERE r.event_time = d.event_time
                    AND r.event_id = d.event_id""",
    "labels": """SELECT FROM {table} AS r WHERE r.label_time = d.event_time
                    AND r.event_id = d.event_id AND r.model = {model}""",
}


def dangling(connection: Connection, stream: Stream, scope: Scope) -> list[Difference]:
    """The duplicates of a stream that point to nothing, but for what retention has dropped."""
    rows = sql.SQL(_ROWS[stream.name]).format(
        table=sql.Identifier(names.SCHEMA, stream.table), model=sql.Literal(stream.model)
    )
    query = sql.SQL(
        """SELECT kafka_offset, floor(date_part('epoch', event_time) * 1000000)::bigint
             FROM driftline.duplicate AS d WHERE ({scope}) AND NOT EXISTS ({rows})"""
    ).format(scope=scope.condition(), rows=rows)
    kept = stored_offsets.chunks(connection, stream.table)
    offsets = [
        offset
        for offset, at in connection.execute(query).fetchall()
        if intervals.size(intervals.repeated(kept, intervals.of([at])))
    ]
    if not offsets:
        return []
    where = f"{stream.name} {stream.topic.name}"
    detail = "duplicates point to rows that are not stored"
    return [Difference.of("duplicate of nothing", where, intervals.of(offsets), detail)]
