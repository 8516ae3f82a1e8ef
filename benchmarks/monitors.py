"""Time to evaluate monitors: on a day of 50 columns, and on 1,000 models at once.

The profiles are generated as the job would write them: one row per minute.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from driftline import names
from driftline.config import Config, Model
from driftline.monitors.running.due_windows import Due
from driftline.monitors.running.window_judging import WindowJudge
from driftline.monitors.windows.schedule import Length
from driftline.profile.binning import Binning
from driftline.profile.blocks import Block
from driftline.profile.build import build
from driftline.profile.profile import Profile
from driftline.profile.recount import reference
from driftline.storage.connection import Connection, connect
from driftline.storage.monitoring import references
from driftline.storage.monitoring.references import StoredReference
from driftline.storage.profiles import dirty_minutes, hours
from driftline.storage.tables import schema
from driftline.storage.versions import versions
from tests.integration.monitors.conftest import model_version

DAY = datetime(2024, 5, 1, tzinfo=UTC)
MODELS, RUNNERS = 1_000, 2
_ROWS = 20_000  # rows of a reference
_MINUTE = timedelta(minutes=1)
_ROUNDS = 7


def measure(config: Config) -> dict[str, float]:
    """Returns figures by key.

    Parameters:
        config: with a database.
    """
    figures = {}
    sizes = {"1e5": 10**5, "1e8": 10**8}
    for key, (hour, day) in zip(sizes, days(config, tuple(sizes.values())), strict=True):
        figures[f"monitors.add_up_hour_seconds_{key}"] = hour
        figures[f"monitors.day_seconds_{key}"] = day
    figures["monitors.flatness"] = (
        figures["monitors.day_seconds_1e8"] / figures["monitors.day_seconds_1e5"]
    )
    seconds = _fleet(config)
    figures["monitors.models_1000_seconds"] = seconds
    figures["monitors.models_per_5min"] = MODELS * 300 / seconds
    return figures


def days(config: Config, events: Sequence[int], columns: int = 50) -> list[tuple[float, float]]:
    """For days with these numbers of events: seconds to sum an hour's profiles, as the runner does
    when it has closed, and seconds to read, evaluate and store the whole day. The days take turns,
    so that noise affects all of them; medians, without the first round."""
    fleet = [f"bench-day-{number}" for number in range(len(events))]
    fleet_config = _with_models(config, fleet, columns, {"windows": ["1 d"], "clock": "event"})
    rng = np.random.default_rng(0)
    binning, total = _reference(columns)
    with _prepared(fleet_config, fleet, binning, total, days=60) as connection:
        shares = total.counts / total.rows
        minutes = [DAY + i * _MINUTE for i in range(1_440)]
        for name, n in zip(fleet, events, strict=True):
            rows = [(minute, _counts(rng, shares, n / len(minutes))) for minute in minutes]
            _insert(connection, [name], binning, rows)
        judges = [WindowJudge(name, fleet_config.model(name)) for name in fleet]
        hour_seconds = [_sum_hours(connection, name) for name in fleet]
        rounds = [[_evaluate(connection, judge) for judge in judges] for _ in range(_ROUNDS + 1)]
    day_seconds = [statistics.median(seconds) for seconds in zip(*rounds[1:], strict=True)]
    return list(zip(hour_seconds, day_seconds, strict=True))


def _sum_hours(connection: Connection, name: str) -> float:
    with connection.transaction():
        dirty_minutes.consume(connection, name)
        start = time.perf_counter()
        hours.write_sums(connection, name, [DAY + i * hours.HOUR for i in range(24)])
        return (time.perf_counter() - start) / 24


def _evaluate(connection: Connection, judge: WindowJudge) -> float:
    length = Length(86_400, 86_400, 86_400)
    due = Due(DAY + timedelta(days=2), [(DAY + timedelta(days=1), length)])
    start = time.perf_counter()
    with connection.transaction():
        judge.judge(connection, due)
    return time.perf_counter() - start


def _fleet(config: Config) -> float:
    """Seconds that two runners need for one five-minute window of every model."""
    fleet = [f"bench-fleet-{i}" for i in range(MODELS)]
    settings = {"windows": ["5 min"], "clock": "event", "lateness": "0 s"}
    fleet_config = _with_models(config, fleet, 20, settings)
    rng = np.random.default_rng(1)
    binning, total = _reference(20)
    shares = total.counts / total.rows
    with _prepared(fleet_config, fleet, binning, total) as connection:

        def write_window(first: int) -> None:
            rows = [(DAY + (first + i) * _MINUTE, _counts(rng, shares, 200.0)) for i in range(5)]
            _insert(connection, fleet, binning, rows)

        def wait_for(windows: int) -> float:
            start = time.perf_counter()
            query = "SELECT count(*) FROM driftline.judged_window WHERE model LIKE 'bench-fleet-%'"
            while (connection.execute(query).fetchone() or (0,))[0] < windows * MODELS:
                time.sleep(0.2)
            return time.perf_counter() - start

        write_window(0)
        with _runners(fleet_config):
            wait_for(1)
            write_window(5)
            return wait_for(2)


@contextmanager
def _runners(config: Config) -> Iterator[None]:
    path = Path(config.state) / "bench" / "monitors.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    tree = json.loads(config.model_dump_json(exclude_unset=True))
    path.write_text(yaml.safe_dump({**tree, "runner": {"poll_interval": "1 s"}}))
    command = [sys.executable, "-m", "driftline.cli", "monitor", "--config", str(path)]
    started = [subprocess.Popen(command) for _ in range(RUNNERS)]
    try:
        yield
    finally:
        for child in started:
            child.terminate()
        for child in started:
            child.wait()


def _with_models(
    config: Config, fleet: list[str], columns: int, settings: dict[str, Any]
) -> Config:
    fields = {f"x{i}": "float" for i in range(columns)}
    stream = {"topic": "none", "event_id": "id", "event_time": "time", "fields": fields}
    section = {"input": stream, "registry": {"name": "m"}, "monitors": settings}
    models = {name: Model.model_validate(section) for name in fleet}
    return config.model_copy(update={"models": models})


def _reference(columns: int) -> tuple[Binning, Profile]:
    rng = np.random.default_rng(2)
    table = pa.table({f"x{i}": rng.normal(0, 1, _ROWS) for i in range(columns)})
    score = rng.uniform(0, 1, _ROWS)
    binning = build(table, score)
    return binning, reference(table, score, binning)


@contextmanager
def _prepared(
    config: Config, fleet: list[str], binning: Binning, total: Profile, days: int = 0
) -> Iterator[Connection]:
    """Store a version with its reference for each model; all rows are deleted at the end."""
    schema.migrate(config)
    rng = np.random.default_rng(3)
    shares = total.counts / total.rows
    blocks = []
    for i in range(days):
        counts = _counts(rng, shares, 5_000.0)
        start = DAY - (i + 1) * timedelta(days=1)
        blocks.append(Block("", 86_400, start, 5_000, _packed(binning, counts)))
    postgres = config.local_postgres()
    _clear(config, fleet)
    with connect(postgres, "write", autocommit=True) as connection, connection.transaction():
        for name in fleet:
            versions.record(connection, model_version(name, total))
            if blocks:
                stored = StoredReference(name, 1, total, "file", block_seconds=86_400)
                references.write(connection, stored, blocks)
    try:
        with connect(postgres, "write", autocommit=True) as connection:
            yield connection
    finally:
        _clear(config, fleet)


def _clear(config: Config, fleet: list[str]) -> None:
    tables = (
        *("profile", "profile_hour", "dirty_window", "reference", "reference_block"),
        *("model_version", "verdict", "verdict_history"),
        *("judged_window", "window_stat", "alert", "monitor_progress"),
        *("calibration", "incident"),
    )
    with connect(config.local_postgres(), "migrate", autocommit=True) as connection:
        for table in tables:
            connection.execute(f"DELETE FROM driftline.{table} WHERE model = ANY(%s)", [fleet])


def _counts(rng: np.random.Generator, shares: Any, rows: float) -> Any:
    return rng.poisson(shares * rows)


def _packed(binning: Binning, counts: Any) -> bytes:
    sums = counts[: binning.summed] * 100  # slightly above each cell's lower edge
    return Profile(binning, counts, sums).pack()


def _insert(
    connection: Connection, fleet: list[str], binning: Binning, minutes: list[tuple[datetime, Any]]
) -> None:
    """Write the same rows for every model, and mark their minutes as dirty."""
    packed = [
        (m, int(c[binning.cells[names.SCORE].summed].sum()), _packed(binning, c))
        for m, c in minutes
    ]
    with connection.transaction():
        with connection.cursor().copy(
            "COPY driftline.profile (bucket, model, span_minutes, version, role, segment,"
            " binning_id, rows, cells) FROM STDIN"
        ) as copy:
            for name in fleet:
                for minute, rows, cells in packed:
                    copy.write_row((minute, name, 1, 1, names.SERVED, "", binning.id, rows, cells))
        first = int(minutes[0][0].timestamp()) // 60
        connection.execute(
            "INSERT INTO driftline.dirty_window (model, minutes)"
            " SELECT name, int8multirange(int8range(%s, %s)) FROM unnest(%s::text[]) AS name",
            [first, first + len(minutes), fleet],
        )
