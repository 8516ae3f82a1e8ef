"""Rows are inserted or were there, also by a server that ends an INSERT at its first conflict."""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from driftline.config import Config
from driftline.errors import ServiceError
from driftline.storage.connection import Connection, connect
from driftline.storage.log.insert import Inserter
from driftline.storage.log.rows import stream
from tests import monitored

# As TimescaleDB before 2.18.2 does in a compressed chunk (timescaledb #7672): what comes after the
# first conflict of a statement is left out without a word.
ENDS_EARLY = """
CREATE TABLE driftline.odd (k int UNIQUE, source int, kafka_offset bigint);
CREATE TABLE driftline.whole (k int UNIQUE, source int, kafka_offset bigint, n bigint);
GRANT SELECT, INSERT ON driftline.odd, driftline.whole TO PUBLIC;
CREATE FUNCTION driftline.begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM set_config('test.ended', 'no', true); RETURN NULL; END $$;
CREATE FUNCTION driftline.ends_early() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('test.ended') = 'yes' THEN RETURN NULL; END IF;
  IF EXISTS (SELECT FROM driftline.odd WHERE k = NEW.k) THEN
    PERFORM set_config('test.ended', 'yes', true);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER begins BEFORE INSERT ON driftline.odd EXECUTE FUNCTION driftline.begins();
CREATE TRIGGER ends BEFORE INSERT ON driftline.odd
  FOR EACH ROW EXECUTE FUNCTION driftline.ends_early();
"""


@pytest.fixture(scope="module")
def odd(empty_database: Callable[[], Config]) -> Config:
    """A database with a table that has such a server's fault."""
    config = monitored.migrated(empty_database())
    with connect(config.local_postgres(), "migrate", autocommit=True) as connection:
        connection.execute(ENDS_EARLY)
    return config


@pytest.fixture
def connection(odd: Config) -> Iterator[Connection]:
    with connect(odd.local_postgres(), "migrate", autocommit=True) as owner:
        owner.execute("TRUNCATE driftline.odd")
    with connect(odd.local_postgres(), "write") as connection:
        yield connection


def rows(keys: list[int], first: int) -> pa.RecordBatch:
    columns = {
        "k": pa.array(keys, pa.int32()),
        "source": pa.array([1] * len(keys), pa.int32()),
        "kafka_offset": pa.array(range(first, first + len(keys)), pa.int64()),
    }
    return pa.RecordBatch.from_pydict(columns)


@pytest.mark.parametrize(
    "batches",
    [
        [[1, 2, 3], [1, 4, 5]],
        [[1, 2, 3], [4, 1, 5, 2, 6, 3, 7]],
        [[1, 1, 2, 2, 3, 3]],
        [[5], [1, 1, 5, 5, 9, 9], [1, 5, 9], [9, 10]],
    ],
    ids=str,
)
def test_no_row_is_left_out(connection: Connection, batches: list[list[int]]) -> None:
    inserter = Inserter(connection, "odd", ("k",))
    expected: dict[int, int] = {}
    for number, keys in enumerate(batches):
        batch = rows(keys, 100 * number)
        new = []
        for key, offset in zip(keys, batch.column("kafka_offset").to_pylist(), strict=True):
            new.append(key not in expected)
            expected.setdefault(key, offset)
        with connection.transaction():
            assert inserter.insert(batch).tolist() == new
    found = connection.execute("SELECT k, kafka_offset FROM driftline.odd").fetchall()
    assert dict(found) == expected
    assert len(found) == len(expected)


def test_what_cannot_be_inserted_is_no_duplicate(connection: Connection, odd: Config) -> None:
    refused = """
        CREATE OR REPLACE FUNCTION driftline.refuses() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.k = 13 THEN RETURN NULL; END IF; RETURN NEW; END $$;
        CREATE OR REPLACE TRIGGER refuses BEFORE INSERT ON driftline.odd
          FOR EACH ROW EXECUTE FUNCTION driftline.refuses()"""
    with connect(odd.local_postgres(), "migrate", autocommit=True) as owner:
        owner.execute(refused)
    inserter = Inserter(connection, "odd", ("k",))
    with connection.transaction():
        inserter.insert(rows([1, 2], 0))
    with (
        pytest.raises(ServiceError, match=r"the database skipped 1 rows of table 'odd'"),
        connection.transaction(),
    ):
        inserter.insert(rows([2, 13, 14], 100))
    with connect(odd.local_postgres(), "migrate", autocommit=True) as owner:
        owner.execute("DROP TRIGGER refuses ON driftline.odd")


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
@example([2**53 + 1, None, 2**63 - 1, -(2**63)])
@settings(max_examples=30)
def test_whole_numbers_are_stored_and_read_exactly(odd: Config, values: list[int | None]) -> None:
    batch = rows(list(range(len(values))), 0).append_column("n", pa.array(values, pa.int64()))
    with (
        connect(odd.local_postgres(), "write") as connection,
        connection.transaction(force_rollback=True),
    ):
        inserter = Inserter(connection, "whole", ("k",))
        inserter.insert(batch.slice(0, 1))
        inserter.insert(batch)  # the careful way, as one is there already
        query = sql.SQL("SELECT n FROM driftline.whole ORDER BY k").format()
        found = pa.Table.from_batches(stream(connection, query, ()))
    assert found["n"].to_pylist() == values
