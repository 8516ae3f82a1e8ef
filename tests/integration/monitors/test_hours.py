"""Long windows read sums of hours, which equal the minutes even after late events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from driftline.monitors.running.window_judging import WindowJudge
from driftline.storage.connection import Connection, connect
from driftline.storage.profiles import dirty_minutes, hours, windows
from tests.integration.monitors.conftest import HOUR, START, Stream, monitors, rows

DAY = monitors(windows=["1 d"], segments=["country=de"])
WINDOWS = [(0, 24), (1, 23), (5.25, 20.5), (0, 1), (23.5, 23.75), (-3, 30)]


@pytest.fixture
def stream(make_stream: Any) -> Stream:
    created: Stream = make_stream(monitors=DAY, segments=["country"])
    return created


def look(stream: Stream, judge: WindowJudge) -> None:
    """A round of the runner."""
    with connect(stream.config.postgres, "write") as connection, connection.transaction():
        judge.judge(connection, judge.due_windows.find(connection, datetime.now(UTC)))


def live(stream: Stream, hours: int, n: int) -> WindowJudge:
    """Rounds of a runner, each after an hour of n rows."""
    judge = WindowJudge(stream.name, stream.section)
    for number in range(hours):
        stream.hour(number, n)
        look(stream, judge)
    return judge


def sums(stream: Stream) -> int:
    return int(stream.sql("SELECT count(DISTINCT bucket) FROM driftline.profile_hour")[0][0])


def assert_same(stream: Stream) -> None:
    """Any window is the same by hours and by minutes."""
    with connect(stream.config.postgres, "write") as connection:
        for first, end in WINDOWS:
            span = START + first * HOUR, START + end * HOUR
            by_hours, by_minutes = (
                read(connection, stream, *span) for read in (_by_hours, _by_minutes)
            )
            assert by_hours.keys() == by_minutes.keys()
            assert all(by_hours[part] == by_minutes[part] for part in by_minutes)


def _by_hours(connection: Connection, stream: Stream, since: datetime, until: datetime) -> Any:
    return _sums(stream, hours.read(connection, stream.name, since, until, ["country=de"]))


def _by_minutes(connection: Connection, stream: Stream, since: datetime, until: datetime) -> Any:
    return _sums(stream, windows.read(connection, stream.name, since, until, ["country=de"]))


def _sums(stream: Stream, actual: Any) -> Any:
    return windows.sums(actual, {stream.binning.id: stream.binning})


def test_a_day_is_read_by_its_hours(stream: Stream) -> None:
    live(stream, 26, 100)
    assert sums(stream) == 25  # the last one may still change
    assert_same(stream)
    with connect(stream.config.postgres, "write") as connection:
        actual = hours.read(connection, stream.name, START, START + 24 * HOUR)
    assert [row.span_minutes for row in actual] == [60] * 24
    [(judged,)] = stream.sql("SELECT rows FROM driftline.judged_window")
    assert judged == 2_400


def test_what_comes_late_is_read_before_and_after_it_was_seen(stream: Stream) -> None:
    judge = live(stream, 26, 50)
    for number in (3, 17):
        stream.log(rows(stream.rng, 30, START + number * HOUR))
    assert_same(stream)
    look(stream, judge)
    assert sums(stream) == 25
    assert_same(stream)
    [(judged, revision)] = stream.sql("SELECT rows, revision FROM driftline.judged_window")
    assert (judged, revision) == (24 * 50 + 60, 1)


def test_more_lateness_leaves_no_sum_that_is_wrong(stream: Stream) -> None:
    live(stream, 26, 50)
    later = stream.with_model(monitors=monitors(**{**DAY, "lateness": "6 h"})).model(stream.name)
    stream.log(rows(stream.rng, 30, START + 23 * HOUR))
    look(stream, WindowJudge(stream.name, later))
    assert_same(stream)


def test_a_replay_makes_no_sums_and_keeps_none_that_are_wrong(stream: Stream) -> None:
    second = WindowJudge(stream.name, stream.section)
    live(stream, 4, 50)
    assert sums(stream) == 3
    # another runner takes the model over while the remaining day arrives in one batch
    look(stream, second)
    for number in np.random.default_rng(0).permutation(26).tolist():
        stream.hour(number, 50)
    look(stream, second)
    assert sums(stream) == 0
    assert_same(stream)


def test_marks_that_expire_take_the_sums_with_them(stream: Stream) -> None:
    live(stream, 5, 50)
    stream.log(rows(stream.rng, 30, START))
    with connect(stream.config.postgres, "write", autocommit=True) as connection:
        assert dirty_minutes.expire(connection, datetime.now(UTC) + timedelta(minutes=1)) == 1
    assert sums(stream) == 0
    assert_same(stream)


def test_old_sums_are_dropped(stream: Stream) -> None:
    live(stream, 40, 20)
    oldest, newest = stream.sql("SELECT min(bucket), max(bucket) FROM driftline.profile_hour")[0]
    assert newest == START + 38 * HOUR
    assert oldest == newest - 24 * HOUR
