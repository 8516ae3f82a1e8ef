"""Days of real flights that alarm, and the time a day takes, beside Evidently and NannyML."""

import json
import math
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import monitors
from benchmarks.peers import speed
from driftline.config import Config
from driftline.config.monitors import Evidently
from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.raw_rows import evidently_monitor
from tests.statistics import flights_judged, flights_windows

ROWS = 1_000_000
LEVEL = 0.01
LEVELS = (0.05, 0.01, 0.001)
SAMPLE = 5_000  # rows of the reference that Evidently is given
HERE = Path(__file__).parent
ENVIRONMENT = Path("build/peers")  # NannyML's needs are not ours

Alarms = Mapping[str, Mapping[str, bool]]


def false_alarms(say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Share of days that alarm, of weeks that alternate with the reference's, both ways round: what
    varies as it always did, so that every alarm is false. By who judges and by column.

    Parameters:
        say: prints a line.
    """
    found: dict[str, dict[str, float]] = {}
    for level in LEVELS:
        for (monitor, column), by_week in flights_judged.alternate_weeks().items():
            if MONITORS[monitor].alerts:
                by_column = found.setdefault(f"driftline, {monitor} at {level:.1%}", {})
                by_column[column] = round(flights_judged.rate(by_week, level)[0], 4)
    for title, judge in PEERS.items():
        both = [judge(days) for days in (flights_judged.EVEN, flights_judged.ODD)]
        found[title] = {
            column: round(
                float(np.mean([alarm for one in both for alarm in one[column].values()])), 4
            )
            for column in both[0]
        }
    for title, by_column in found.items():
        say(f"{title}: {' '.join(f'{name} {share:.3f}' for name, share in by_column.items())}")
    return found


def by_month(say: Callable[[str], None]) -> dict[str, dict[str, list[float]]]:
    """Share of days that alarm from April to December against January to March, by month.

    Parameters:
        say: prints a line.
    """
    tables: dict[str, Alarms] = {
        "driftline, location at 1 %": ours("location"),
        "driftline, omnibus at 1 %": ours("omnibus"),
        **{title: judge(flights_judged.WINTER) for title, judge in PEERS.items()},
    }
    for title, alarms in tables.items():
        say(f"{title}: share of days that alarm, April to December by month")
        for column, days in alarms.items():
            say(f"  {column:12} {' '.join(f'{share:.2f}' for share in shares(days))}")
    return {
        title: {column: shares(days) for column, days in alarms.items()}
        for title, alarms in tables.items()
    }


def ratios(config: Config, say: Callable[[str], None]) -> dict[str, float]:
    """How many times faster a day of 1 million x 20 is judged, each with its read.

    Ours reads the day's hours from the database, judges every column and stores the verdicts; with
    hours, it also adds up the profiles of its 24 hours, which a runner does as they close.
    Evidently reads Parquet.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "current.parquet", Path(folder) / "reference.parquet"
        for seed, (path, n) in enumerate(zip(paths, (ROWS, speed.REFERENCE_ROWS), strict=True)):
            pq.write_table(speed.rows(n, seed), path)
        theirs = speed.evidently(*paths)
    ((hour, whole),) = monitors.days(config, [ROWS], speed.NUMBERS + speed.TEXTS)
    with_hours = 24 * hour + whole
    say(
        f"1 million x 20: Evidently {theirs:.1f} s, driftline {whole * 1e3:.0f} ms, "
        f"with adding up 24 hours {with_hours * 1e3:.0f} ms"
    )
    return {
        "monitors.vs_evidently": theirs / whole,
        "monitors.vs_evidently_with_hours": theirs / with_hours,
    }


def ours(monitor: str) -> Alarms:
    """Days that alarm; a reference of January to March."""
    days, decided = flights_judged.judged(flights_judged.WINTER, LEVEL)
    return {
        one.column: {
            day.isoformat(): p_value <= LEVEL
            for day, p_value in zip(days, one.p_values.tolist(), strict=True)
            if not math.isnan(p_value)
        }
        for one in decided
        if one.monitor.name == monitor
    }


def evidently(reference: frozenset[date]) -> Alarms:
    """Other days that alarm with the methods and thresholds of its drift preset."""
    known = _sample(flights_windows.of(reference))
    preset = Evidently(name="DataDriftPreset", rows=SAMPLE)
    found: dict[str, dict[str, bool]] = {}
    for day in flights_windows.DAYS:
        if day in reference:
            continue
        rows = flights_windows.of([day]).select(flights_windows.COLUMNS)
        for verdict in evidently_monitor.evaluate(rows, known, preset):
            if verdict.column and verdict.status in ("ok", "alarm"):
                by_day = found.setdefault(verdict.column, {})
                by_day[day.isoformat()] = verdict.status == "alarm"
    return found


def _sample(rows: pa.Table) -> pa.Table:
    every = len(rows) // SAMPLE
    return rows.select(flights_windows.COLUMNS).take(pa.array(range(0, len(rows), every)))


def nannyml(reference: frozenset[date]) -> Alarms:
    """Other days that alarm with its defaults."""
    rows = flights_windows.rows()
    frame = rows.select(flights_windows.COLUMNS).to_pandas()
    frame["time"] = pd.to_datetime(rows["day"].to_pandas())
    frame["in_reference"] = frame["time"].dt.date.isin(reference)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flights.parquet"
        frame.to_parquet(path)
        done = subprocess.run(
            [_python(), str(HERE / "nannyml_child.py"), str(path)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: Alarms = json.loads(done.stdout)
    return found


def _python() -> str:
    """That of the peers' environment, made of its own lock when it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=False)
    uv = Path(sys.executable).with_name("uv")
    lock = HERE / "requirements.txt"
    sync = [str(uv), "pip", "sync", "--quiet", "--python", str(python), "--require-hashes"]
    subprocess.run([*sync, str(lock)], check=True)
    return str(python)


def shares(days: Mapping[str, bool]) -> list[float]:
    """By month, April to December."""
    months: dict[str, list[bool]] = {}
    for day, alarm in days.items():
        months.setdefault(day[5:7], []).append(alarm)
    return [round(sum(x) / len(x), 3) for _, x in sorted(months.items())]


PEERS: dict[str, Callable[[frozenset[date]], Alarms]] = {
    "Evidently, defaults": evidently,
    "NannyML, mean and 3 sigma": nannyml,
}
