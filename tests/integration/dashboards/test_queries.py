"""Every query of every generated dashboard gives data on a real TimescaleDB to the reading role."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from driftline.config import Config
from driftline.storage.connection import Connection, connect
from tests.integration.dashboards.asked import ALL, Asked


@pytest.fixture(scope="module")
def reader(monitored_store: Config) -> Iterator[Connection]:
    with connect(monitored_store.postgres, "read", autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("asked", ALL, ids=str)
def test_gives_data(reader: Connection, asked: Asked) -> None:
    now = datetime.now(UTC)
    cursor = reader.execute(asked.over(now - timedelta(days=4), now).encode())
    columns, rows = [one.name for one in cursor.description or ()], cursor.fetchall()
    assert rows
    assert any(value is not None for row in rows for value in row)
    if asked.series:
        assert columns[0] == "time"
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)
