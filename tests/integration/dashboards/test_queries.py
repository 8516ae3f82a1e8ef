"""Every query of every generated dashboard, on a real TimescaleDB, as the read-only role."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dashboards.generate import generate
from dashboards.macros import Value, expand
from driftline.config import Config
from driftline.storage.connection import Connection, connect
from tests import monitored

VARIABLES: dict[str, Value] = {
    "model": monitored.FRAUD,
    "window": str(monitored.SECONDS),
    "version": ["2", "1"],
    "segment": "all rows",
    "column": "amount",
}


@dataclass(frozen=True)
class Asked:
    """One query, and where it stands."""

    where: str
    sql: str
    series: bool

    def __str__(self) -> str:
        return self.where


def queries(config: Config) -> Iterator[Asked]:
    """All that Grafana would send for these dashboards."""
    for board in generate(config):
        uid = board["uid"]
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                where = f"{uid}/{panel['title']}/{target['refId']}"
                yield Asked(where, target["rawSql"], target["format"] == "time_series")
        for variable in board["templating"]["list"]:
            yield Asked(f"{uid}/variable/{variable['name']}", variable["query"], series=False)
        for annotation in board["annotations"]["list"]:
            sql = annotation["target"]["rawSql"]
            yield Asked(f"{uid}/annotation/{annotation['name']}", sql, series=False)


ALL = list(queries(monitored.config(Config())))


@pytest.fixture(scope="module")
def reader(monitored_store: Config) -> Iterator[Connection]:
    with connect(monitored_store.postgres, "read", autocommit=True) as connection:
        yield connection


def run(connection: Connection, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    now = datetime.now(UTC)
    text = expand(sql, now - timedelta(days=4), now, timedelta(minutes=10), VARIABLES)
    cursor = connection.execute(text.encode())
    return [column.name for column in cursor.description or ()], cursor.fetchall()


@pytest.mark.parametrize("asked", ALL, ids=str)
def test_gives_data(reader: Connection, asked: Asked) -> None:
    columns, rows = run(reader, asked.sql)
    assert rows
    assert any(value is not None for row in rows for value in row)
    if asked.series:
        assert columns[0] == "time"
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)
