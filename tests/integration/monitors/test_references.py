"""References from windows and files, with blocks of time, segments, and old hours counted again."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.errors import DriftlineError
from driftline.monitors.calibration.judges import NoReferenceError, load
from driftline.monitors.raw_rows import reference_rows
from driftline.monitors.references.compare_reference import compare
from driftline.monitors.references.set_reference import from_file, from_window
from driftline.monitors.running.due_windows import Due
from driftline.monitors.running.window_judging import WindowJudge
from driftline.monitors.windows.schedule import Length
from driftline.profile.profile import Profile
from driftline.storage.connection import connect
from driftline.storage.monitoring import references
from driftline.storage.profiles import profile_rows
from tests.integration.monitors.conftest import HOUR, START, Stream, monitors, rows

SEGMENT = "country=de"


@pytest.fixture(scope="module")
def stream(make_stream: Any) -> Stream:
    created: Stream = make_stream(monitors=monitors(segments=[SEGMENT]), segments=["country"])
    for number in range(6):
        created.hour(number, n=50)
    return created


def blocks(stream: Stream, segment: str = "", seconds: int = 3_600) -> Any:
    with connect(stream.config.postgres, "read") as connection:
        return references.series(
            connection, stream.name, 1, stream.binning, seconds=seconds, segment=segment
        )


def test_a_window_with_blocks_and_segments(stream: Stream) -> None:
    created = from_window(stream.config, stream.name, START, START + 5 * HOUR)
    assert (created.version, created.profile.rows, created.block_seconds) == (1, 250, 3_600)
    whole, part = blocks(stream), blocks(stream, SEGMENT)
    assert whole.starts.tolist() == [int((START + n * HOUR).timestamp()) for n in range(5)]
    total = Profile(stream.binning, whole.counts.sum(axis=0), whole.sums.sum(axis=0))
    assert total == created.profile
    assert 0 < part.counts.sum() < whole.counts.sum()
    with connect(stream.config.postgres, "read") as connection:
        stored = references.read(connection, stream.name, 1)
        assert stored is not None
        loaded = load(lambda: connection, stored, SEGMENT, [3_600])
        assert loaded.blocks is not None
        assert loaded.total.rows < load(lambda: connection, stored, "", [3_600]).total.rows
        with pytest.raises(NoReferenceError, match="no blocks of segment 'country=xx'"):
            load(lambda: connection, stored, "country=xx", [3_600])


def test_a_runner_keeps_laws_and_not_the_blocks_that_they_were_found_from(
    make_stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream: Stream = make_stream()
    for number in range(12):
        stream.hour(number, n=60)
    from_window(stream.config, stream.name, START, START + 10 * HOUR)
    read: list[str] = []
    real = references.series

    def series(*arguments: Any, **options: Any) -> Any:
        read.append(options["segment"])
        return real(*arguments, **options)

    monkeypatch.setattr(references, "series", series)
    judge = WindowJudge(stream.name, stream.section)
    with connect(stream.config.postgres, "write", autocommit=True) as connection:
        for number in (11, 12):
            hour = [(START + number * HOUR, Length(3_600, 3_600, 3_600))]
            (fresh,) = judge.judge(connection, Due(START + 13 * HOUR, hour))
            assert len(fresh.verdicts) > 1
            assert not judge.judges.get(connection, 1, "").reference._windows
    assert read == [""]


def test_merged_hours_are_counted_again_for_shorter_blocks(stream: Stream) -> None:
    previous = from_window(stream.config, stream.name, START, START + 2 * HOUR, seconds=300)
    minutes = blocks(stream, SEGMENT, 300)
    with connect(stream.config.postgres, "write", autocommit=True) as connection:
        profile_rows.compact(connection, stream.name, now=START + timedelta(days=300))
    spans = "SELECT DISTINCT span_minutes FROM driftline.profile"
    assert stream.sql(spans) == [(1440,)]
    again = from_window(stream.config, stream.name, START, START + 2 * HOUR, seconds=300)
    assert again.profile == previous.profile
    assert (blocks(stream, SEGMENT, 300).counts == minutes.counts).all()
    assert (blocks(stream, SEGMENT, 300).sums == minutes.sums).all()


def test_a_file_with_and_without_times(stream: Stream, tmp_path: Path) -> None:
    table = pa.concat_tables([rows(stream.rng, 30, START + n * HOUR) for n in range(4)])
    path = tmp_path / "features.parquet"
    pq.write_table(table, path)
    timed = from_file(stream.config, stream.name, path, time_column="event_time")
    assert (timed.profile.rows, timed.block_seconds, timed.since) == (120, 3_600, START)
    whole = blocks(stream)
    assert Profile(stream.binning, whole.counts.sum(axis=0), whole.sums.sum(axis=0)) == (
        timed.profile
    )
    assert blocks(stream, SEGMENT) is not None
    plain = from_file(stream.config, stream.name, path)
    assert (plain.profile, plain.block_seconds) == (timed.profile, None)
    assert blocks(stream) is None
    with connect(stream.config.postgres, "read") as connection:
        raw = reference_rows.read(connection, stream.name, 1, 1_000)
    assert raw.origin == "file"
    assert raw.rows.equals(table.select(["amount", "country", "score"]))


def test_short_windows_get_short_blocks(make_stream: Any, tmp_path: Path) -> None:
    stream: Stream = make_stream(monitors=monitors(windows=["15 min", "1 h"]))
    for number in range(2):
        stream.hour(number, n=100)
    created = from_window(stream.config, stream.name, START, START + 2 * HOUR)
    assert created.block_seconds == 900
    path = tmp_path / "features.parquet"
    pq.write_table(pa.concat_tables([rows(stream.rng, 60, START + i * HOUR) for i in (0, 1)]), path)
    timed = from_file(stream.config, stream.name, path, time_column="event_time")
    assert timed.block_seconds == 900
    assert len(blocks(stream, seconds=900).starts) == 8
    long = from_window(stream.config, stream.name, START, START + timedelta(days=40))
    assert long.block_seconds == 3_600


def test_what_cannot_be_a_reference(stream: Stream, tmp_path: Path) -> None:
    late = START + 500 * HOUR
    with pytest.raises(DriftlineError, match="no predictions of model 'fraud' were counted"):
        from_window(stream.config, stream.name, late, late + HOUR)
    with pytest.raises(DriftlineError, match="version 9 of model 'fraud' was never loaded"):
        from_window(stream.config, stream.name, START, START + HOUR, version=9)
    path = tmp_path / "bad.parquet"
    pq.write_table(pa.table({"amount": [1.0]}), path)
    with pytest.raises(DriftlineError, match="has no column 'country': the reference needs"):
        from_file(stream.config, stream.name, path)
    path.write_text("no parquet")
    with pytest.raises(DriftlineError, match="as Parquet"):
        from_file(stream.config, stream.name, path)


def test_a_comparison_finds_the_column_that_moved(make_stream: Any) -> None:
    stream: Stream = make_stream()
    stream.hour(0, n=2_000, shift=15.0)
    with connect(stream.config.postgres, "read") as connection:
        stored = references.read(connection, stream.name, 1)
        assert stored is not None
        current = profile_rows.window(connection, stream.name, stream.binning, START, START + HOUR)
    actual = {item.column: item for item in compare(current, stored.profile)}
    assert set(actual) == {"amount", "country", "score"}
    moved = actual["amount"]
    assert moved.mean is not None
    assert moved.reference_mean is not None
    assert abs(moved.mean - moved.reference_mean - 15) < 2
    for name, distance in moved.distances.items():
        other = actual["score"].distances[name]
        assert distance is not None
        assert other is not None
        assert distance > other or name == "wasserstein"
    json.dumps([item.distances for item in actual.values()])
