"""`make bench-peers`: alarms on real days, and speed, beside Evidently and NannyML."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from benchmarks.peers import speed
from tests.statistics import flights_judged, flights_windows

FILE = Path("build/bench.json")
ROWS = 1_000_000
LEVEL = 0.01
CHILD = Path(__file__).parent / "nannyml_child.py"

Alarms = Mapping[str, Mapping[str, bool]]


def main(python: str) -> None:
    """Print the tables and add the figures to build/bench.json.

    Parameters:
        python: of the peers' environment.
    """
    figures: dict[str, object] = {"monitors.evidently_ratio": ratio()}
    table = {"driftline, location at 1 %": ours("location"), "NannyML, 3 sigma": nannyml(python)}
    for title, alarms in table.items():
        print(f"\n{title}: share of days that alarm, April to December by month")
        for column, days in alarms.items():
            print(f"  {column:12} {shares(days)}")
    figures["monitors.peers_false_alarms"] = {
        title: {column: shares(days) for column, days in alarms.items()}
        for title, alarms in table.items()
    }
    FILE.parent.mkdir(exist_ok=True)
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    FILE.write_text(json.dumps({**known, **figures}, indent=2) + "\n")


def ratio() -> float:
    """How many times faster a day of 1 million x 20 is judged from its profiles."""
    day = timedelta(days=1)
    current = speed.rows(ROWS, 1, speed.START, day)
    before = speed.rows(
        speed.REFERENCE_ROWS,
        2,
        speed.START - speed.REFERENCE_DAYS * day,
        speed.REFERENCE_DAYS * day,
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "current.parquet", Path(folder) / "reference.parquet"
        for table, path in zip((current, before), paths, strict=True):
            pq.write_table(table, path)
        theirs = speed.evidently(*paths)
    own = speed.profiles(current, before)
    print(f"1 million x 20: Evidently {theirs:.1f} s, driftline {own * 1e3:.0f} ms")
    return theirs / own


def ours(monitor: str) -> Alarms:
    """Days that alarm; a reference of January to March."""
    found: dict[str, dict[str, bool]] = {}
    for one in flights_judged.judged(flights_judged.WINTER, LEVEL):
        for verdict in one.verdicts:
            if verdict.monitor == monitor and verdict.p_value is not None:
                by_day = found.setdefault(verdict.column, {})
                by_day[one.day.isoformat()] = verdict.p_value <= LEVEL
    return found


def nannyml(python: str) -> Alarms:
    """Days that alarm with its defaults; a reference of January to March."""
    rows = flights_windows.rows()
    frame = rows.select(flights_windows.COLUMNS).to_pandas()
    frame["time"] = pd.to_datetime(rows["day"].to_pandas())
    frame["in_reference"] = frame["time"] < pd.Timestamp("2013-04-01")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flights.parquet"
        frame.to_parquet(path)
        done = subprocess.run(
            [python, str(CHILD), str(path)], stdout=subprocess.PIPE, text=True, check=True
        )
    found: Alarms = json.loads(done.stdout)
    return found


def shares(days: Mapping[str, bool]) -> str:
    """By month, April to December."""
    months: dict[str, list[bool]] = {}
    for day, alarm in days.items():
        months.setdefault(day[5:7], []).append(alarm)
    return " ".join(f"{sum(x) / len(x):.2f}" for _, x in sorted(months.items()))


if __name__ == "__main__":
    main(sys.argv[1])
