"""A backfill says what a live run says in the end, whatever order the events came in."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.storage import verdicts
from monitors.running.backfill import backfill
from monitors.running.runner import Runner
from tests.integration.monitors.conftest import HOUR, START, Stream, monitors, rows

WINDOWS = monitors(
    windows=["4 h", {"length": "12 h", "every": "4 h"}, "1 d"], segments=["country=de"]
)
DAYS = 9


def said(stream: Stream) -> list[Any]:
    """All verdicts but the lag's, a real time, and without when and how often they were said.

    A backfill begins with the first whole window; a live run also judges those that overlap the
    first event, and compares the volume of later ones with theirs.
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
    backfill(past.config, past.name, START, START + timedelta(days=DAYS))
    assert len(said(live)) > 1_000
    ends = "SELECT window_end FROM driftline.judged_window WHERE window_seconds = 43200 ORDER BY 1"
    sliding = [end for (end,) in live.sql(ends)]
    assert {later - end for end, later in pairwise(sliding)} == {4 * HOUR}  # they overlap
    assert said(live) == said(past)
    assert past.sql("SELECT * FROM driftline.alert") == []
    assert past.sql("SELECT * FROM driftline.notification") == []
    assert live.sql("SELECT max(revision) FROM driftline.judged_window")[0][0] > 0
    counts = (
        "SELECT window_end, window_seconds, rows FROM driftline.judged_window"
        " WHERE window_end - window_seconds * interval '1 s' >= %s ORDER BY 1, 2"
    )
    assert live.sql(counts, START) == past.sql(counts, START)
