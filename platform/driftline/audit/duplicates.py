"""A duplicate points to the row that was stored first; that row must exist."""

from psycopg import sql

from driftline import names
from driftline.audit import stored_offsets
from driftline.audit.gather import Scope, Stream
from driftline.audit.report import Difference
from driftline.kafka import intervals
from driftline.storage.connection import Connection

# The table alone identifies an event's model; labels of all models share one table.
_ROWS = {
    "events": """SELECT FROM {table} AS r WHERE r.event_time = d.event_time
                    AND r.event_id = d.event_id""",
    "labels": """SELECT FROM {table} AS r WHERE r.label_time = d.event_time
                    AND r.event_id = d.event_id AND r.model = {model}""",
}


def dangling(connection: Connection, stream: Stream, scope: Scope) -> list[Difference]:
    """The duplicates of a stream whose row is missing, except rows that retention has dropped."""
    rows = sql.SQL(_ROWS[stream.name]).format(
        table=sql.Identifier(names.SCHEMA, stream.table), model=sql.Literal(stream.model)
    )
    query = sql.SQL(
        """SELECT kafka_offset, floor(date_part('epoch', event_time) * 1000000)::bigint
             FROM driftline.duplicate AS d WHERE ({scope}) AND NOT EXISTS ({rows})"""
    ).format(scope=scope.condition(), rows=rows)
    stored_times = stored_offsets.chunks(connection, stream.table)
    offsets = [
        offset
        for offset, event_time in connection.execute(query).fetchall()
        if intervals.size(intervals.repeated(stored_times, intervals.of([event_time])))
    ]
    if not offsets:
        return []
    place = f"{stream.name} {stream.topic.name}"
    detail = "duplicates point to rows that are not stored"
    return [Difference.of("dangling duplicate", place, intervals.of(offsets), detail)]
