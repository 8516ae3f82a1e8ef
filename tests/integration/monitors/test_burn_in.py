"""A reference of shuffled training data is provisional until live windows replace it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from driftline.monitors.running.runner import Runner
from driftline.storage.connection import connect
from driftline.storage.profiles import profile_rows
from tests.integration.monitors.conftest import Stream, monitors
from tests.integration.monitors.test_commands import typed, written


def forget_times(stream: Stream) -> None:
    """A reference like that of shuffled training data."""
    stream.sql("UPDATE driftline.reference SET block_seconds = NULL, since = NULL, until = NULL")
    stream.sql("DELETE FROM driftline.reference_block")


def test_live_windows_replace_a_reference_without_times(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(monitors=monitors(burn_in="2 d"))
    forget_times(stream)
    for hour in range(60):
        stream.hour(hour, n=100)

    Runner(stream.config).run(once=True)

    stored = stream.sql(
        "SELECT origin, note, block_seconds, until - since FROM driftline.reference"
    )
    assert [(origin, note, seconds, span.days) for origin, note, seconds, span in stored] == [
        ("window", "after burn-in", 3_600, 2)
    ]
    assert stream.sql("SELECT count(*), sum(rows) FROM driftline.reference_block") == [(48, 4_800)]

    stream.hour(60, n=100)
    stream.hour(61, n=100)
    Runner(stream.config).run(once=True)
    newest = stream.sql(
        """SELECT bool_or(provisional) FROM driftline.verdict
            WHERE window_end = (SELECT max(window_end) FROM driftline.verdict)
              AND monitor = 'location'"""
    )
    assert newest == [(False,)]


@pytest.mark.long
def test_short_windows_get_short_blocks_of_what_was_kept_for_them(
    make_stream: Callable[..., Stream], tmp_path: Path
) -> None:
    stream = make_stream(monitors=monitors(burn_in="3 d", windows=["10 min", "15 min", "1 h"]))
    forget_times(stream)
    for hour in range(3 * 24 + 2):
        stream.hour(hour, n=480)
    assert typed(written(stream, tmp_path), "compact").exit_code == 0
    assert stream.sql(
        "SELECT DISTINCT span_minutes FROM driftline.profile ORDER BY span_minutes"
    ) == [(1,), (5,)]

    Runner(stream.config).run(once=True)

    stored = stream.sql("SELECT note, block_seconds FROM driftline.reference")
    assert stored == [("after burn-in", 300)]
    blocks = "SELECT count(*), sum(rows) FROM driftline.reference_block"
    assert stream.sql(blocks) == [(3 * 288, 3 * 24 * 480)]

    stream.hour(74, n=480)
    stream.hour(75, n=480)
    Runner(stream.config).run(once=True)
    assert stream.sql(
        """SELECT DISTINCT window_seconds, provisional FROM driftline.verdict
            WHERE window_end > (SELECT until + interval '2 hours' FROM driftline.reference)
              AND monitor = 'location' AND status IN ('ok', 'alarm') ORDER BY 1"""
    ) == [(600, False), (900, False), (3_600, False)]


def test_hours_that_were_merged_already_are_not_counted_again(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream(monitors=monitors(burn_in="3 d", windows=["5 min", "1 h"]))
    forget_times(stream)
    for hour in range(3 * 24 + 2):
        stream.hour(hour, n=60)
    with connect(stream.config.postgres, "write", autocommit=True) as connection:
        profile_rows.compact(connection, stream.name)
    Runner(stream.config).run(once=True)
    stored = stream.sql("SELECT note, block_seconds FROM driftline.reference")
    assert stored == [("after burn-in", 3_600)]


def test_times_of_the_week_need_more_days_than_short_blocks_leave(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream(
        monitors=monitors(burn_in="3 d", windows=["10 min", "1 h"], matching="hour_of_week")
    )
    forget_times(stream)
    for hour in range(3 * 24 + 2):
        stream.hour(hour, n=60)
    Runner(stream.config).run(once=True)
    stored = stream.sql("SELECT note, block_seconds FROM driftline.reference")
    assert stored == [("after burn-in", 3_600)]


def test_until_then_verdicts_are_provisional_and_make_no_page(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream(monitors=monitors(burn_in="14 d", page=["drift"]))
    forget_times(stream)
    for hour in range(4):
        stream.hour(hour, shift=0 if hour < 2 else 60)
    Runner(stream.config).run(once=True)
    actual = stream.sql(
        "SELECT DISTINCT provisional FROM driftline.verdict"
        " WHERE monitor = 'location' AND status IN ('ok', 'alarm')"
    )
    assert actual == [(True,)]
    incidents = stream.sql("SELECT DISTINCT family, severity FROM driftline.incident")
    assert ("drift", "ticket") in incidents
    assert ("drift", "page") not in incidents
    stored = stream.sql("SELECT block_seconds FROM driftline.reference")
    assert stored == [(None,)]
