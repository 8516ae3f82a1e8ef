"""Every query of every generated dashboard gives data on a real TimescaleDB to the reading role."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from driftline import names
from driftline.config import Config
from driftline.dashboards.definitions.sections import latency
from driftline.dashboards.definitions.sections.histogram import MARK, by_time
from driftline.dashboards.panels.scope import Scope
from driftline.storage.connection import Connection, connect
from tests import monitored
from tests.integration.dashboards.asked import ALL, VARIABLES, Asked


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


def test_a_roll_back_is_marked_and_a_canary_is_not(monitored_store: Config) -> None:
    (asked,) = (one for one in ALL if one.where == "driftline-models/annotation/Versions")
    start = datetime(2020, 1, 1, tzinfo=UTC)
    served = [
        (0, 1, 9),
        (1, 1, 9),
        (1, 3, 2),
        (2, 1, 4),
        (2, 2, 5),
        (3, 2, 9),
        (4, 1, 9),
        (5, 2, 9),
    ]
    with connect(monitored_store.postgres, "migrate") as connection:
        for minute, version, rows in served:
            connection.execute(
                """INSERT INTO driftline.profile (bucket, model, span_minutes, version, role,
                                                  segment, binning_id, rows, cells)
                   VALUES (%s, 'fraud', 1, %s, 'served', '', 'b', %s, '')""",
                [start + timedelta(minutes=minute), version, rows],
            )
        sql = asked.over(start, start + timedelta(hours=1))
        marked = [(row[0] - start, row[2]) for row in connection.execute(sql.encode())]
        connection.rollback()
    assert marked == [
        (timedelta(minutes=5), "version 2 serves"),
        (timedelta(minutes=4), "version 1 serves"),
        (timedelta(minutes=2), "version 2 serves"),
    ]


def test_performance_of_a_chosen_model_has_an_interval(reader: Connection) -> None:
    """What the monitor knows of the value, beside it."""
    (asked,) = [one for one in ALL if str(one) == f"{names.MODELS_UID}/Realised and estimated/A"]
    now = datetime.now(UTC)
    rows = reader.execute(asked.over(now - timedelta(days=4), now).encode()).fetchall()
    assert len(rows) > 40
    for _, value, low, high in rows:
        assert (low, high) == pytest.approx((value - 0.02, value + 0.02), abs=1e-3)


@pytest.mark.parametrize(("limit", "marked"), [(0.5, "< "), (3.2, "["), (60_000.0, ">= ")])
def test_the_objective_is_marked_in_the_bin_that_it_is_in(
    reader: Connection, limit: float, marked: str
) -> None:
    scope = Scope(names.MODELS_UID, (monitored.SECONDS,), limits={monitored.FRAUD: limit})
    query = by_time(scope, names.INFERENCE_MS, latency._limit(scope))
    asked = Asked("", query.sql, series=True)
    now = datetime.now(UTC)
    for model, number in ((monitored.FRAUD, 1), (monitored.CHURN, 0)):
        statement = asked.over(now - timedelta(days=4), now, VARIABLES | {"model": model})
        bins = {row[1] for row in reader.execute(statement.encode())}
        found = [one for one in bins if one.endswith(MARK)]
        assert len(bins) > 5
        assert len(found) == number
        for one in (label.lstrip("\u200b\u200c") for label in found):
            assert one.startswith(marked)
            if marked == "[":
                low, high = one[1:].removesuffix(MARK).rstrip(")").split(", ")
                assert float(low) <= limit < float(high)


_FAULTS = {
    "consistency": ("UPDATE driftline.profile SET rows = rows + 5 WHERE model = 'fraud'", "firing"),
    "rejected messages": ("UPDATE driftline.ledger SET rejected = logged + 1", "firing"),
    "runners": ("UPDATE driftline.runner SET heartbeat_at = now() - interval '1 hour'", "broken"),
    "monitors": ("UPDATE driftline.monitor_progress SET failed_since = now()", "broken"),
    "monitor lag": ("UPDATE driftline.monitor_progress SET lag_seconds = 900", "pending"),
    "events": ("UPDATE driftline.ledger SET committed_at = now() - interval '1 h'", "no data"),
    "alert of family volume": (
        "UPDATE driftline.alert SET state = 'firing', summary = 'half as many' "
        "WHERE family = 'volume'",
        "firing",
    ),
}


@pytest.mark.parametrize("part", _FAULTS)
def test_the_pipeline_begins_with_what_is_wrong(monitored_store: Config, part: str) -> None:
    """What is wrong stands first, with its cause and a way out; without faults all is well."""
    where = f"{names.PIPELINE_UID}/Pipeline problems/A"
    (asked,) = [one for one in ALL if str(one) == where]
    now = datetime.now(UTC)
    statement = asked.over(now - timedelta(days=4), now + timedelta(minutes=1)).encode()
    fault, state = _FAULTS[part]
    with connect(monitored_store.postgres, "migrate") as connection:
        connection.execute("UPDATE driftline.ledger SET rejected = 0, committed_at = now()")
        connection.execute("UPDATE driftline.runner SET heartbeat_at = now()")
        connection.execute("UPDATE driftline.monitor_progress SET failed_since = NULL")
        well = connection.execute(statement).fetchall()
        connection.execute(fault.encode())
        wrong = connection.execute(statement).fetchall()
        connection.rollback()
    assert {(row[0], *row[2:]) for row in well} == {("ok", None, "", "")}
    assert set(_FAULTS) <= {row[1] for row in well}
    first, *others = wrong
    assert first[:2] == (state, part)
    assert all(first[3:])
    assert {row[0] for row in others} == {"ok"}
