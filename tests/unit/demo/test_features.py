"""The feature transform: what it gives, and that missing stays missing."""

import pyarrow as pa
import pytest

from driftline.demo.features import transform

EVENT = {
    "event_id": "a",
    "carrier": "UA",
    "flight": 1,
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400.0,
    "hour": 6,
    "minute": 0,
    "dep_delay": 2.0,
    "temp": 39.0,
    "dewp": 28.0,
    "humid": 64.0,
    "wind_dir": 270.0,
    "wind_speed": 10.0,
    "precip": 0.0,
    "pressure": 1012.0,
    "visib": 10.0,
    "origin_departures_1h": 30,
    "origin_mean_delay_1h": 5.5,
}
SCHEMA = pa.Table.from_pylist([EVENT]).schema


def features(**changed: object) -> dict[str, object]:
    row: dict[str, object] = transform(
        pa.RecordBatch.from_pylist([EVENT | changed], SCHEMA)
    ).to_pylist()[0]
    return row


def test_what_is_kept_and_what_is_made() -> None:
    row = features()
    assert (row["temp"], row["distance"], row["carrier"], row["hour"]) == (39.0, 1400.0, "UA", 6)
    assert row["time_sin"] == pytest.approx(1.0)
    assert row["wind_east"] == pytest.approx(10.0)  # a west wind blows to the east
    assert row["wind_north"] == pytest.approx(0.0, abs=1e-9)
    assert row["origin_departures_1h"] == 30.0
    assert "event_id" not in row
    assert "flight" not in row


def test_an_event_too_late_for_its_window_still_has_features() -> None:
    row = features(origin_departures_1h=None, origin_mean_delay_1h=None)
    assert (row["origin_departures_1h"], row["origin_mean_delay_1h"]) == (None, None)


def test_missing_weather_stays_missing() -> None:
    row = features(temp=None, wind_dir=None, distance=None)
    assert (row["temp"], row["wind_east"], row["distance_log"]) == (None, None, None)
    assert row["wind_speed"] == 10.0


def test_types_do_not_depend_on_the_rows() -> None:
    empty = transform(pa.RecordBatch.from_pylist([], SCHEMA))
    assert empty.schema == transform(pa.RecordBatch.from_pylist([EVENT], SCHEMA)).schema
    assert {str(kind) for kind in empty.schema.types} == {"string", "int64", "double"}
