"""A backfill gives the final verdicts of a live run, regardless of the order of events."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.monitors.running.backfill import backfill
from driftline.monitors.running.runner import Runner
from driftline.storage.monitoring import verdicts
from tests.integration.monitors.conftest import HOUR, START, Stream, label, monitors, rows

WINDOWS = monitors(
    windows=["4 h", {"length": "12 h", "every": "4 h"}, "1 d"], segments=["country=de"]
)
DAYS = 9


def stored_verdicts(stream: Stream) -> list[Any]:
    """All verdicts except those of the lag, without the time and number of their revisions.

    A backfill begins with the first whole window; a live run also judges those that overlap the
    first event, and compares the volume of later windows with these.
    """
    fields = verdicts.FIELDS.replace(', "report_id"', "")
    return stream.sql(
        f"""SELECT window_end, window_seconds, {fields} FROM driftline.verdict
             WHERE window_seconds >= 3600 AND "column" <> 'lag_ms'
               AND window_end - window_seconds * interval '1 s' >= %s
               AND NOT (window_seconds = 43200 AND monitor = 'volume')
             ORDER BY 1, 2, monitor, "column", segment""",
        START,
    )


def test_backfill_is_a_live_run_in_random_order(make_stream: Any) -> None:
    live: Stream = make_stream(monitors=WINDOWS, segments=["country"])
    past: Stream = make_stream(monitors=WINDOWS, segments=["country"])
    hours = [
        rows(live.rng, 40 + (n % 24) * 5, START + n * HOUR, shift=20.0 if n > 200 else 0.0)
        for n in range(24 * DAYS)
        if n not in (50, 51)
    ]
    # parts of an hour come at different times; the oldest and the newest hour come last
    parts = [part for hour in hours[1:-1] for part in (hour.slice(0, 20), hour.slice(20))]
    np.random.default_rng(3).shuffle(parts)
    runner = Runner(live.config)
    for start in range(0, len(parts), 150):
        live.log(pa.concat_tables(parts[start : start + 150]))
        runner.run(once=True)
    live.log(pa.concat_tables([hours[0], hours[-1]]))
    runner.run(until_idle=True)

    past.log(pa.concat_tables(hours))
    past.log(rows(past.rng, 1, START + DAYS * 24 * HOUR + HOUR))  # the lateness has passed
    backfill(past.config, past.name, START, START + timedelta(days=DAYS))
    assert len(stored_verdicts(live)) > 1_000
    ends = "SELECT window_end FROM driftline.judged_window WHERE window_seconds = 43200 ORDER BY 1"
    sliding = [end for (end,) in live.sql(ends)]
    assert {later - end for end, later in pairwise(sliding)} == {4 * HOUR}  # they overlap
    assert stored_verdicts(live) == stored_verdicts(past)
    assert past.sql("SELECT * FROM driftline.alert") == []
    assert past.sql("SELECT * FROM driftline.notification") == []
    assert live.sql("SELECT max(revision) FROM driftline.judged_window")[0][0] > 0
    counts = (
        "SELECT window_end, window_seconds, rows FROM driftline.judged_window"
        " WHERE window_end - window_seconds * interval '1 s' >= %s ORDER BY 1, 2"
    )
    assert live.sql(counts, START) == past.sql(counts, START)


@pytest.mark.long
def test_backfill_estimates_what_a_live_run_does(make_stream: Any) -> None:
    """Regardless of when each of them began, and of the order in which the past is judged."""
    settings = monitors(windows=["1 h", "1 d"], performance={"min_labels": 100})
    labels = {"topic": "truth", "type": "bool"}
    live: Stream = make_stream(monitors=settings, labels=labels)
    past: Stream = make_stream(monitors=settings, labels=labels)
    days = 3
    for number in range(24 * days + 1):
        hour = rows(np.random.default_rng(number), 60, START + number * HOUR)
        for item in (live, past):
            item.log(hour)
            item.rng = np.random.default_rng(number)
            label(item, number, skill=0.6)
        if number % 7 == 0:
            Runner(live.config).run(once=True)
    Runner(live.config).run(until_idle=True)
    for since, until in ((30, 24 * days), (0, 30), (24, 48)):
        backfill(past.config, past.name, START + since * HOUR, START + until * HOUR)

    def estimated(stream: Stream) -> list[Any]:
        return stream.sql(
            "SELECT window_end, window_seconds, value, low, high, expected, detail"
            " FROM driftline.verdict WHERE monitor = 'estimated_auc' AND window_end <= %s"
            " ORDER BY 1, 2",
            START + 24 * days * HOUR,
        )

    actual = estimated(live)
    assert len(actual) == 24 * days + days
    assert len({detail.partition("; ")[2] for *_, detail in actual}) == days  # of what was learned
    assert estimated(past) == actual


def judged(stream: Stream) -> dict[int, tuple[int, bool]]:
    """Hour -> revision, judged by a runner."""
    actual = stream.sql("SELECT window_end, revision, live FROM driftline.judged_window")
    return {(end - START) // HOUR - 1: tuple(remaining) for end, *remaining in actual}


def test_the_first_live_round_begins_with_the_last_day(make_stream: Any) -> None:
    """However far back a backfill went before."""
    stream: Stream = make_stream(monitors={"windows": ["1 h"], "lateness": "0 s"})
    ((now,),) = stream.sql("SELECT date_trunc('hour', now())")
    month = now - 60 * 24 * HOUR
    for number in range(3):
        stream.log(rows(stream.rng, 400, month + number * HOUR, shift=60.0))
        stream.log(rows(stream.rng, 400, now - (number + 1) * HOUR))
    backfill(stream.config, stream.name, month, month + 3 * HOUR)
    Runner(stream.config).run(once=True)
    actual = stream.sql("SELECT window_end FROM driftline.judged_window WHERE live ORDER BY 1")
    assert now - 25 * HOUR <= actual[0][0]
    assert len(actual) >= 24
    assert stream.sql("SELECT * FROM driftline.incident WHERE family = 'drift'") == []
    # late events of the past change the verdicts of the backfill, but open no incident
    stream.log(rows(stream.rng, 10, month, shift=60.0))
    stream.log(rows(stream.rng, 10, month + 100 * HOUR, shift=60.0))
    Runner(stream.config).run(once=True)
    past = stream.sql(
        "SELECT window_end, revision, live FROM driftline.judged_window WHERE window_end < %s"
        " ORDER BY 1",
        now - 30 * HOUR,
    )
    assert past == [(month + n * HOUR, int(n == 1), False) for n in (1, 2, 3)]
    assert stream.sql("SELECT * FROM driftline.incident WHERE family = 'drift'") == []


def test_a_runner_judges_what_it_missed_around_a_backfill(make_stream: Any) -> None:
    stream: Stream = make_stream(monitors=monitors())
    for number in range(4):
        stream.hour(number)
    Runner(stream.config).run(once=True)
    for number in range(4, 10):
        stream.hour(number, shift=60.0 if number == 8 else 0.0)
    assert backfill(stream.config, stream.name, START + 7 * HOUR, START + 12 * HOUR) == 2
    # the lateness of hour 9 has not passed
    live, past = dict.fromkeys(range(3), (0, True)), dict.fromkeys((7, 8), (0, False))
    assert judged(stream) == {**live, **past}
    runner = Runner(stream.config)
    runner.run(once=True)
    live = dict.fromkeys(range(7), (0, True))
    assert judged(stream) == {**live, **dict.fromkeys((7, 8), (1, True))}
    ((since, last),) = stream.sql(
        "SELECT since, last FROM driftline.incident WHERE family = 'drift'"
    )
    assert (since, last) == (START + 8 * HOUR, START + 9 * HOUR)
    backfill(stream.config, stream.name, START, START + 2 * HOUR)
    assert judged(stream)[0] == (1, True)  # it stays the runner's
