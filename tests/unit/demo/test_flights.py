"""The demo's data against what the package's files say."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from driftline.demo import flights

APRIL, MAY = datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 5, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def events() -> pa.Table:
    """Those of April."""
    return flights.events(APRIL, MAY)


@pytest.fixture(scope="module")
def labels() -> pa.Table:
    """Those of April."""
    return flights.labels(APRIL, MAY)


def test_an_event_is_a_departure_in_the_period_in_order(events: pa.Table) -> None:
    times = events["time"].to_pylist()
    assert times == sorted(times)
    assert times[0] >= APRIL
    assert times[-1] < MAY
    assert 27_000 < len(events) < 29_000


def test_ids_are_unique_all_year_and_stable() -> None:
    year = flights.events(datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 1, 2, tzinfo=UTC))
    assert len(year) == 336_776 - 8_255  # all flights but the cancelled ones
    assert pc.count_distinct(year["event_id"]).as_py() == len(year)
    assert "2013-01-01-UA-1545-EWR" in year["event_id"].to_pylist()


def test_a_flight_as_the_files_have_it() -> None:
    first = flights.events(datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 2, tzinfo=UTC))
    row = first.filter(pc.equal(first["event_id"], "2013-01-01-UA-1545-EWR")).to_pylist()[0]
    assert row["time"] == datetime(2013, 1, 1, 10, 17, tzinfo=UTC)  # 5:17 in New York
    assert (row["dest"], row["distance"], row["dep_delay"]) == ("IAH", 1400.0, 2.0)
    assert (row["temp"], row["visib"]) == (39.02, 10.0)


def test_the_columns_are_the_declared_fields(events: pa.Table) -> None:
    assert events.column_names == ["event_id", "time", *flights.FIELDS]
    assert pa.types.is_floating(events.schema.field("temp").type)
    assert events["pressure"].null_count > 0
    assert events["dep_delay"].null_count == 0


def test_labels_come_when_the_flight_has_arrived(events: pa.Table, labels: pa.Table) -> None:
    departed = dict(zip(events["event_id"].to_pylist(), events["time"].to_pylist(), strict=True))
    times = labels["time"].to_pylist()
    assert times == sorted(times)
    assert 0.97 < len(labels) / len(events) < 1
    took = [
        time - departed[flight]
        for time, flight in zip(times, labels["event_id"].to_pylist(), strict=True)
    ]
    assert min(took) > timedelta(minutes=20)
    assert max(took) < timedelta(hours=13)


def test_late_is_more_than_fifteen_minutes(labels: pa.Table) -> None:
    delays = labels["arr_delay"].to_numpy()
    assert (labels["late"].to_numpy() == (delays > 15)).all()
    assert 0.1 < np.mean(delays > 15) < 0.4


def rounded(value: object) -> object:
    """Ten decimals are written."""
    return round(value, 10) if isinstance(value, float) else value


def test_json_lines_hold_the_same_values(events: pa.Table, labels: pa.Table) -> None:
    sample = events.slice(100, 50)
    rows = [json.loads(line) for line in flights.to_json_lines(sample)]
    for row, expected in zip(rows, sample.to_pylist(), strict=True):
        assert datetime.fromisoformat(row.pop("time")) == expected.pop("time")
        assert row == {name: rounded(value) for name, value in expected.items()}
    label = json.loads(flights.to_json_lines(labels)[0])
    assert label["late"] in (True, False)
