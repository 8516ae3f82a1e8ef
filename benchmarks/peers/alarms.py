"""Compares alarms on real flights, and the time per day, with Evidently and NannyML."""

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
SAMPLE = 5_000  # rows of the reference for Evidently
HERE = Path(__file__).parent
ENVIRONMENT = Path("build/peers")  # separate, as NannyML's requirements conflict with ours

Alarms = Mapping[str, Mapping[str, bool]]


def false_alarms(report: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Share of days with an alarm, by tool and column, where every alarm is false: reference and
    tested weeks alternate, and are then swapped.

    Parameters:
        report: prints a line.
    """
    shares_by_tool: dict[str, dict[str, float]] = {}
    for level in LEVELS:
        for (monitor, column), by_week in flights_judged.alternate_weeks().items():
            if MONITORS[monitor].alerts:
                by_column = shares_by_tool.setdefault(f"driftline, {monitor} at {level:.1%}", {})
                by_column[column] = round(flights_judged.rate(by_week, level)[0], 4)
    for title, run in PEERS.items():
        runs = [run(days) for days in (flights_judged.EVEN, flights_judged.ODD)]
        shares_by_tool[title] = {
            column: round(
                float(np.mean([alarm for alarms in runs for alarm in alarms[column].values()])), 4
            )
            for column in runs[0]
        }
    for title, by_column in shares_by_tool.items():
        report(f"{title}: {' '.join(f'{name} {share:.3f}' for name, share in by_column.items())}")
    return shares_by_tool


def by_month(report: Callable[[str], None]) -> dict[str, dict[str, list[float]]]:
    """Share of days with an alarm by month, April to December, against January to March.

    Parameters:
        report: prints a line.
    """
    tables: dict[str, Alarms] = {
        "driftline, location at 1 %": ours("location"),
        "driftline, omnibus at 1 %": ours("omnibus"),
        **{title: run(flights_judged.WINTER) for title, run in PEERS.items()},
    }
    for title, alarms in tables.items():
        report(f"{title}: share of days with an alarm by month, April to December")
        for column, days in alarms.items():
            report(f"  {column:12} {' '.join(f'{share:.2f}' for share in shares(days))}")
    return {
        title: {column: shares(days) for column, days in alarms.items()}
        for title, alarms in tables.items()
    }


def ratios(config: Config, report: Callable[[str], None]) -> dict[str, float]:
    """How many times faster a day of 1 million x 20 values is evaluated, including reading it.

    driftline reads the day's hours from the database, tests every column and stores the verdicts;
    "with hours" also sums the profiles of 24 hours, which a runner does when each hour closes.
    Evidently reads Parquet.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "current.parquet", Path(folder) / "reference.parquet"
        for seed, (path, n) in enumerate(zip(paths, (ROWS, speed.REFERENCE_ROWS), strict=True)):
            pq.write_table(speed.rows(n, seed), path)
        evidently_seconds = speed.evidently(*paths)
    ((hour, day),) = monitors.days(config, [ROWS], speed.NUMBERS + speed.TEXTS)
    with_hours = 24 * hour + day
    report(
        f"1 million x 20: Evidently {evidently_seconds:.1f} s, driftline {day * 1e3:.0f} ms, "
        f"with the sums of 24 hours {with_hours * 1e3:.0f} ms"
    )
    return {
        "monitors.vs_evidently": evidently_seconds / day,
        "monitors.vs_evidently_with_hours": evidently_seconds / with_hours,
    }


def ours(monitor: str) -> Alarms:
    """Days with an alarm; the reference is January to March."""
    days, results = flights_judged.judged(flights_judged.WINTER, LEVEL)
    return {
        result.column: {
            day.isoformat(): p_value <= LEVEL
            for day, p_value in zip(days, result.p_values.tolist(), strict=True)
            if not math.isnan(p_value)
        }
        for result in results
        if result.monitor.name == monitor
    }


def evidently(reference: frozenset[date]) -> Alarms:
    """Other days with an alarm, with the methods and thresholds of its drift preset."""
    sample = _sample(flights_windows.of(reference))
    preset = Evidently(name="DataDriftPreset", rows=SAMPLE)
    alarms: dict[str, dict[str, bool]] = {}
    for day in flights_windows.DAYS:
        if day in reference:
            continue
        rows = flights_windows.of([day]).select(flights_windows.COLUMNS)
        for verdict in evidently_monitor.evaluate(rows, sample, preset):
            if verdict.column and verdict.status in ("ok", "alarm"):
                by_day = alarms.setdefault(verdict.column, {})
                by_day[day.isoformat()] = verdict.status == "alarm"
    return alarms


def _sample(rows: pa.Table) -> pa.Table:
    step = len(rows) // SAMPLE
    return rows.select(flights_windows.COLUMNS).take(pa.array(range(0, len(rows), step)))


def nannyml(reference: frozenset[date]) -> Alarms:
    """Other days with an alarm, with its defaults."""
    rows = flights_windows.rows()
    frame = rows.select(flights_windows.COLUMNS).to_pandas()
    frame["time"] = pd.to_datetime(rows["day"].to_pandas())
    frame["in_reference"] = frame["time"].dt.date.isin(reference)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flights.parquet"
        frame.to_parquet(path)
        process = subprocess.run(
            [_python(), str(HERE / "nannyml_child.py"), str(path)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    alarms: Alarms = json.loads(process.stdout)
    return alarms


def _python() -> str:
    """Python of the tools' environment, which is created and synchronised with its lock."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=False)
    uv = Path(sys.executable).with_name("uv")
    lock = HERE / "requirements.txt"
    sync = [str(uv), "pip", "sync", "--quiet", "--python", str(python), "--require-hashes"]
    subprocess.run([*sync, str(lock)], check=True)
    return str(python)


def shares(days: Mapping[str, bool]) -> list[float]:
    """Share of days with an alarm by month, April to December."""
    months: dict[str, list[bool]] = {}
    for day, alarm in days.items():
        months.setdefault(day[5:7], []).append(alarm)
    return [round(sum(x) / len(x), 3) for _, x in sorted(months.items())]


PEERS: dict[str, Callable[[frozenset[date]], Alarms]] = {
    "Evidently, defaults": evidently,
    "NannyML, mean and 3 sigma": nannyml,
}
