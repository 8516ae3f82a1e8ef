"""Does the output topic hold each logged row, as it is stored, as often as it should?"""

from datetime import timedelta

import numpy as np
import pyarrow as pa
from psycopg import sql

from driftline import names
from driftline.audit import output_topic, stored_offsets
from driftline.audit.gather import Scope
from driftline.audit.output_topic import KEYS, Publication, Read
from driftline.audit.report import Difference
from driftline.config import Config
from driftline.errors import AuditError
from driftline.kafka import intervals
from driftline.kafka.topic import Topic
from driftline.storage.connection import Connection, connect

_SHOWN = 5


def grace(config: Config) -> timedelta:
    """How long a stored row may be on its way: readers see it after the next checkpoint."""
    return 3 * config.flink.checkpoint_interval + timedelta(minutes=1)


def compare(
    connection: Connection, config: Config, model: str, scope: Scope | None, allowed: timedelta
) -> tuple[Publication | None, list[Difference]]:
    """Compare the logged rows with the output topic, if the model has one.

    Parameters:
        connection: in a transaction whose snapshot was taken before.
        scope: only the rows of these offsets; None compares all, both ways.
        allowed: how long a row may be on its way.

    Raises:
        AuditError: the output topic does not exist.
    """
    output = config.model(model).output
    if output is None:
        return None, []
    rows = output_topic.stored(connection, model, scope.condition() if scope else None)
    with Topic(config.local_kafka(), output.topic) as topic:
        if not topic.bounds():
            raise AuditError(f"there is no output topic {output.topic!r}: create it, or republish")
        content = output_topic.read(topic)
    found = output_topic.compare(rows, content, allowed)
    where = f"output topic {output.topic}"
    differences = [
        _ids("unpublished", where, found.missing, "the topic lacks the stored rows of"),
        _records(
            "published otherwise", where, found.different, "other version or score than stored:"
        ),
    ]
    if output.delivery == "exactly_once":
        differences.append(_doubled(where, found.doubled))
    if scope is None:
        strangers = _unknown(connection, config, model, found.strangers)
        differences += [
            _records("not in the store", where, strangers, "published, but not stored:"),
            _unreadable(where, content),
        ]
    return found, [one for one in differences if one.count]


def _ids(kind: str, where: str, rows: pa.Table, detail: str) -> Difference:
    some = ", ".join(map(repr, rows["event_id"].slice(0, _SHOWN).to_pylist()))
    return Difference(kind, where, rows.num_rows, f"{detail} {some}")


def _records(kind: str, where: str, records: pa.Table, detail: str) -> Difference:
    some = ", ".join(
        f"{one['event_id']!r} at {one['partition']}:{one['offset']}"
        for one in records.slice(0, _SHOWN).to_pylist()
    )
    return Difference(kind, where, records.num_rows, f"{detail} {some}")


def _doubled(where: str, rows: pa.Table) -> Difference:
    whole = _ids("published twice", where, rows, "more records than stored rows for")
    count = int(rows["n"].to_numpy().sum())
    return Difference(whole.kind, where, count, whole.detail)


def _unreadable(where: str, content: Read) -> Difference:
    some = ", ".join(f"{partition}:{offset}" for partition, offset in content.unreadable[:_SHOWN])
    return Difference("unreadable", where, len(content.unreadable), f"no predictions at {some}")


def _unknown(connection: Connection, config: Config, model: str, records: pa.Table) -> pa.Table:
    """Of records without a stored row, those whose row was neither dropped nor stored since."""
    ms = records["ms"].to_numpy()
    kept = stored_offsets.chunks(connection, names.prediction_table(model)) // 1_000
    inside = intervals.counts(kept, np.stack((ms, ms + 1), axis=1)) == 1
    records = records.filter(pa.array(inside))
    if records.num_rows == 0:
        return records
    limits = sql.SQL(
        "event_time >= to_timestamp({} / 1000.0) AND event_time < to_timestamp({} / 1000.0)"
    ).format(sql.Literal(int(ms.min()) - 1), sql.Literal(int(ms.max()) + 2))
    with connect(config.local_postgres(), "read") as fresh:
        since = output_topic.stored(fresh, model, limits)
    return records.join(since.select(KEYS), KEYS, join_type="left anti")
