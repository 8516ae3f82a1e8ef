"""Monitors of raw rows in the runner: judged, stored, isolated."""

from typing import Any

import pyarrow as pa

from driftline.monitors.raw_rows import row_monitors
from driftline.monitors.references.set_reference import from_window
from driftline.monitors.running.runner import Runner
from tests.integration.monitors.conftest import HOUR, START, Stream, monitors, rows

RAW = monitors(
    evidently=[
        {"name": "ValueDrift", "options": {"column": "amount", "method": "wasserstein"}},
        {"name": "NoSuchMetric"},
    ],
    multivariate={"method": "pca_reconstruction", "rows": 300, "alert": True},
)


def verdicts(stream: Stream) -> dict[str, tuple[Any, ...]]:
    actual = stream.sql(
        """SELECT DISTINCT ON (monitor) monitor, status, alerts, detail, version
             FROM driftline.verdict WHERE monitor LIKE 'evidently%%' OR monitor = 'raw_rows'
               OR monitor = 'pca_reconstruction' ORDER BY monitor, window_end DESC"""
    )
    return {monitor: tuple(remaining) for monitor, *remaining in actual}


def test_raw_monitors_judge_each_window_and_fail_alone(make_stream: Any) -> None:
    stream: Stream = make_stream(monitors=RAW)
    stream.keep_reference_rows()
    stream.hour(0)
    Runner(stream.config).run(until_idle=True)
    actual = verdicts(stream)
    drift = actual["evidently.ValueDrift(method=wasserstein)"]
    assert drift[0] in {"ok", "alarm"}  # of 400 rows: Evidently's fixed limit is often passed
    assert (drift[1], drift[3]) == (False, 1)
    assert actual["evidently.NoSuchMetric"][:2] == ("broken", False)
    assert actual["pca_reconstruction"][:2] == ("ok", True)
    stream.hour(1, shift=30.0)
    Runner(stream.config).run(until_idle=True)
    assert verdicts(stream)["evidently.ValueDrift(method=wasserstein)"][0] == "alarm"
    other_runners = stream.sql("SELECT count(*) FROM driftline.verdict WHERE monitor = 'omnibus'")
    assert other_runners[0][0] > 0


def test_a_long_live_reference_is_known_by_its_own_windows(make_stream: Any) -> None:
    """However few rows of each window are in a sample of the whole."""
    multivariate = {"method": "pca_reconstruction", "rows": 100}
    stream: Stream = make_stream(monitors=monitors(multivariate=multivariate))
    hours = 24 * 6
    stream.log(pa.concat_tables([rows(stream.rng, 60, START + n * HOUR) for n in range(hours)]))
    from_window(stream.config, stream.name, START, START + hours * HOUR)
    stream.log(rows(stream.rng, 200, START + hours * HOUR))
    Runner(stream.config).run(until_idle=True)
    newest = stream.sql(
        """SELECT rows, provisional FROM driftline.verdict
            WHERE monitor = 'pca_reconstruction' ORDER BY window_end DESC LIMIT 1"""
    )
    assert newest == [(60, False)]  # as many rows as the reference's windows have


def test_what_takes_too_long_is_ended_and_said(make_stream: Any) -> None:
    slow = {"name": "ValueDrift", "options": {"column": "amount"}, "timeout": "1 s"}
    fine = {"name": "MeanValue", "options": {"column": "amount"}}
    stream: Stream = make_stream(monitors=monitors(evidently=[slow, fine]))
    stream.keep_reference_rows()
    stream.hour(0)
    row_monitors._process.cache_clear()  # its import alone applies_to longer than the limit
    Runner(stream.config).run(until_idle=True)
    actual = verdicts(stream)
    status, alerts, detail, _ = actual["evidently.ValueDrift"]
    assert (status, alerts) == ("broken", False)
    assert "not finished within 1 s: configure fewer `rows` or a longer `timeout`" in detail
    assert actual["evidently.MeanValue"][0] == "ok"  # in the process that took its place


def test_without_raw_rows_of_the_reference_this_is_said(make_stream: Any) -> None:
    stream: Stream = make_stream(monitors=RAW)
    stream.hour(0)
    Runner(stream.config).run(until_idle=True)
    status, alerts, detail, _ = verdicts(stream)["raw_rows"]
    assert (status, alerts) == ("broken", False)
    assert "no raw rows of the reference of model 'fraud' version 1 are stored" in detail
