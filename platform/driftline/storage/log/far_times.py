"""Times within PostgreSQL's range and beyond that of Python's `datetime`; producers may set any."""

from datetime import datetime

import psycopg
from psycopg.abc import Buffer
from psycopg.types.datetime import TimestamptzLoader

from driftline.storage.connection import Connection


def read_far_times(connection: Connection) -> None:
    """Load a `timestamptz` before the year 1 or after 9999 as PostgreSQL's text."""
    connection.adapters.register_loader("timestamptz", _AsText)


class _AsText(TimestamptzLoader):
    def load(self, data: Buffer) -> datetime | str:  # type: ignore[override]
        try:
            return super().load(data)
        except psycopg.DataError:
            return bytes(data).decode()
