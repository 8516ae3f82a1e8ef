"""The small number that stands for (model, stream, topic, partition) in every row."""

from collections.abc import Sequence
from typing import Literal

from driftline.storage.connection import Connection

Stream = Literal["events", "labels"]

_FIND = """SELECT partition, id FROM driftline.source
            WHERE model = %s AND stream = %s AND topic = %s AND partition = ANY(%s)"""
_ADD = """INSERT INTO driftline.source (model, stream, topic, partition)
          SELECT %s, %s, %s, unnest(%s::int[]) ON CONFLICT DO NOTHING"""


def source_ids(
    connection: Connection, model: str, stream: Stream, topic: str, partitions: Sequence[int]
) -> dict[int, int]:
    """The id of each partition's source; new sources are created.

    Parameters:
        connection: as role `write`; new ids persist when the caller's transaction commits.
        partitions: numbers of partitions of the topic.

    Returns:
        partition -> source id.
    """
    requested = sorted(set(partitions))
    key = (model, stream, topic)
    ids: dict[int, int] = dict(connection.execute(_FIND, (*key, requested)).fetchall())
    missing = [partition for partition in requested if partition not in ids]
    if missing:
        connection.execute(_ADD, (*key, missing))
        ids = dict(connection.execute(_FIND, (*key, requested)).fetchall())
    return ids
