"""A runner estimates performance immediately, and measures it as labels arrive."""

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.dashboards.definitions.generate import generate
from driftline.dashboards.panels.macros import Value, expand
from driftline.monitors.running.backfill import backfill
from driftline.monitors.running.late_labels import LateLabels
from driftline.monitors.running.runner import Runner
from driftline.monitors.running.window_judging import WindowJudge
from driftline.names import dashboard_uid
from driftline.storage.connection import connect
from driftline.storage.monitoring import verdicts
from tests.integration.monitors.conftest import HOUR, START, Stream, label, monitors, rows

LABELS = {"topic": "truth", "type": "bool"}
SETTINGS = {"min_labels": 100, "max_label_delay": "48 h"}
FIRST = 40  # hours of the baseline


@pytest.fixture
def stream(make_stream: Any) -> Stream:
    created: Stream = make_stream(
        labels=LABELS, dashboard="own", monitors=monitors(performance=SETTINGS)
    )
    return created


def tick(stream: Stream, number: int) -> None:
    """One event in the middle of an hour: by the clock of the events it is that late."""
    time = START + number * HOUR + HOUR / 2
    row = rows(stream.rng, 1, time)
    stream.log(row.set_column(0, "event_time", pa.array([time], row["event_time"].type)))


def stored_verdicts(stream: Stream, monitor: str) -> dict[int, tuple[str, int, float, int]]:
    """Hour -> status, rows, value (NaN: none), revision."""
    actual = stream.sql(
        "SELECT window_end, status, rows, coalesce(value, 'NaN'), revision FROM driftline.verdict"
        " WHERE monitor = %s ORDER BY 1",
        monitor,
    )
    return {(end - START) // HOUR - 1: tuple(remaining) for end, *remaining in actual}


def state(stream: Stream, family: str) -> tuple[str, str]:
    actual = stream.sql("SELECT state, severity FROM driftline.alert WHERE family = %s", family)
    return (actual[0][0], actual[0][1])


@pytest.fixture
def measured(stream: Stream) -> tuple[Stream, Runner]:
    """A stream whose first hours are labelled and judged."""
    runner = Runner(stream.config)
    for number in range(FIRST):
        stream.hour(number)
        label(stream, number)
    tick(stream, FIRST)
    runner.run(once=True)
    return stream, runner


def test_both_monitors_say_what_is_known(measured: tuple[Stream, Runner]) -> None:
    stream, _ = measured
    real, guess = stored_verdicts(stream, "realised_auc"), stored_verdicts(stream, "estimated_auc")
    assert set(real) == set(guess) == set(range(FIRST))
    assert [real[n][0] for n in range(8)] == ["not_calibrated"] * 8
    assert {real[n][0] for n in range(25, FIRST)} == {"ok"}
    assert all(rows == 400 for _, rows, _, _ in real.values())
    # the area of a score that is the chance itself and uniform
    assert np.mean([v for _, _, v, _ in real.values()]) == pytest.approx(5 / 6, abs=0.01)
    assert np.mean([v for _, _, v, _ in guess.values()]) == pytest.approx(5 / 6, abs=0.02)
    assert {status for status, *_ in guess.values()} == {"shown"}
    details = stream.sql(
        "SELECT detail, expected FROM driftline.verdict WHERE monitor = 'estimated_auc'"
        " ORDER BY window_end"
    )
    assert "no labels yet, scores are used as probabilities" in details[0][0]
    assert "labels" in details[-1][0]
    assert details[-1][0] != details[0][0]
    assert details[-1][1] == pytest.approx(5 / 6, abs=0.02)
    assert state(stream, "performance")[0] == "ok"


def test_worse_hours_page_and_make_their_drift_a_page(measured: tuple[Stream, Runner]) -> None:
    stream, runner = measured
    for number in range(FIRST, FIRST + 3):
        stream.hour(number, shift=60.0)
    tick(stream, FIRST + 3)
    runner.run(once=True)
    assert state(stream, "drift") == ("firing", "ticket")
    assert state(stream, "performance")[0] == "ok"  # no label has arrived: unchanged
    for number in range(FIRST, FIRST + 3):
        label(stream, number, skill=0.0)
    for number in range(FIRST + 3, FIRST + 6):
        stream.hour(number, shift=60.0)
    tick(stream, FIRST + 6)
    runner.run(once=True)
    real = stored_verdicts(stream, "realised_auc")
    assert [real[FIRST + n][0] for n in range(3)] == ["alarm"] * 3
    assert all(real[FIRST + n][2] < 0.6 for n in range(3))
    assert state(stream, "performance") == ("firing", "page")
    stream.hour(FIRST + 6, shift=60.0)
    tick(stream, FIRST + 8)
    runner.run(once=True)
    assert state(stream, "drift") == ("firing", "page")
    incident = stream.sql(
        "SELECT summary, contributors FROM driftline.incident WHERE family = 'performance'"
    )
    assert len(incident) == 1
    assert incident[0][0].startswith("performance in score: auc fell from 0.")
    assert {item["monitor"] for item in incident[0][1]} == {"realised_auc"}


def test_the_baseline_outlives_old_verdicts(measured: tuple[Stream, Runner]) -> None:
    """The baseline is kept, so that slow decay is detected."""
    stream, _ = measured
    previous = stored_verdicts(stream, "realised_auc")
    stream.sql("UPDATE driftline.verdict SET judged_at = judged_at - interval '91 days'")
    with connect(stream.config.postgres, "write", autocommit=True) as connection:
        assert verdicts.expire(connection, timedelta(days=90)) > 0
    assert stored_verdicts(stream, "realised_auc") == previous
    assert stored_verdicts(stream, "estimated_auc") == {}


def test_late_labels_measure_again(measured: tuple[Stream, Runner]) -> None:
    """A window is measured when its age has doubled, and waits for most of its labels."""
    stream, runner = measured
    stream.hour(FIRST)
    tick(stream, FIRST + 1)
    runner.run(once=True)
    assert stored_verdicts(stream, "realised_auc")[FIRST][:2] == ("no_data", 0)
    label(stream, FIRST, share=0.5)
    tick(stream, FIRST + 2)
    runner.run(once=True)
    status, n, value, age = stored_verdicts(stream, "realised_auc")[FIRST]
    assert (status, age) == ("insufficient", 1)
    assert 150 < n < 250
    assert value == pytest.approx(5 / 6, abs=0.1)
    label(stream, FIRST)
    Runner(stream.config).run(once=True)
    assert stored_verdicts(stream, "realised_auc")[FIRST][:2] == (
        status,
        n,
    )  # its age has not doubled
    tick(stream, FIRST + 3)
    Runner(stream.config).run(once=True)  # what was measured when is stored
    assert stored_verdicts(stream, "realised_auc")[FIRST][0] == "ok"
    assert (
        stored_verdicts(stream, "realised_auc")[FIRST][1] == 401
    )  # with the one that marked the time
    assert stored_verdicts(stream, "realised_auc")[FIRST][3] == 2
    history = stream.sql(
        "SELECT revision, status FROM driftline.verdict_history WHERE monitor = 'realised_auc'"
        " AND window_end = %s ORDER BY 1",
        START + (FIRST + 1) * HOUR,
    )
    assert history == [(0, "no_data"), (1, "insufficient")]


def test_at_the_end_every_window_is_measured_for_the_last_time(stream: Stream) -> None:
    """Also with fewer labels than `coverage`: no more will come."""
    for number in range(10):
        stream.hour(number)
        label(stream, number, share=0.5)
    Runner(stream.config).run(until_idle=True)
    real = stored_verdicts(stream, "realised_auc")
    last = len(stream.section.monitors.performance.measurement_ages(timedelta(hours=1))) - 1
    assert {revision for *_, revision in real.values()} == {last}
    assert {status for status, *_ in real.values()} == {"not_calibrated"}


def test_the_past_is_measured_by_backfill(stream: Stream) -> None:
    for number in range(3):
        stream.hour(number)
        label(stream, number)
    tick(stream, 3)
    assert backfill(stream.config, stream.name, START, START + 3 * HOUR) == 3
    assert (
        set(stored_verdicts(stream, "realised_auc"))
        == set(stored_verdicts(stream, "estimated_auc"))
        == {0, 1, 2}
    )


def test_a_backfill_measures_nothing_that_a_runner_will(stream: Stream) -> None:
    """It would have alerted nobody: what was due stays due."""
    runner = Runner(stream.config)
    for number in range(3):
        stream.hour(number)
    tick(stream, 3)
    runner.run(once=True)
    assert {rows for _, rows, _, _ in stored_verdicts(stream, "realised_auc").values()} == {0}
    for number in range(3, 6):
        stream.hour(number)
    for number in range(6):
        label(stream, number)
    tick(stream, 10)
    # the runner judged hours 1 and 2, and none of the later ones yet
    assert backfill(stream.config, stream.name, START + HOUR, START + 5 * HOUR) == 4
    after = stored_verdicts(stream, "realised_auc")
    assert [after[number][0] for number in range(3)] == ["no_data"] * 3
    assert all(after[number][1] >= 400 for number in (3, 4))
    with connect(stream.config.postgres, "write", autocommit=True) as connection:
        clock = START + 10 * HOUR
        judge = WindowJudge(stream.name, stream.section)
        labels = LateLabels(stream.name, stream.section)
        fresh = judge.judge(connection, judge.due_windows.find(connection, clock))
        sent = labels.judge(connection, clock, fresh)
    # also what the backfill had measured: only now is anybody notified
    assert {(item.end - START) // HOUR - 1 for item in sent} >= set(range(6))
    now = stored_verdicts(stream, "realised_auc")
    assert all(now[number][1] >= 400 for number in range(6))


def test_numbers_have_their_error(make_stream: Any) -> None:
    stream: Stream = make_stream(
        labels={"topic": "truth", "type": "float"}, monitors=monitors(performance=SETTINGS)
    )
    stream.hour(0)
    tick(stream, 1)
    Runner(stream.config).run(once=True)
    assert (
        stored_verdicts(stream, "estimated_mae") == {}
    )  # nothing is known of a number without labels
    for number in range(1, 30):
        stream.hour(number)
        label(stream, number)
    tick(stream, 30)
    Runner(stream.config).run(once=True)
    real, guess = stored_verdicts(stream, "realised_mae"), stored_verdicts(stream, "estimated_mae")
    assert real[20][2] == pytest.approx(1 / 3, abs=0.05)
    assert guess[29][2] == pytest.approx(1 / 3, abs=0.03)


def test_a_model_without_labels_has_neither(make_stream: Any) -> None:
    stream: Stream = make_stream()
    stream.hour(0)
    Runner(stream.config).run(until_idle=True)
    assert stream.sql("SELECT * FROM driftline.verdict WHERE family = 'performance'") == []


def test_the_panels_show_them(measured: tuple[Stream, Runner]) -> None:
    stream, _ = measured
    actual: dict[str, list[Any]] = {}
    board = next(
        item for item in generate(stream.config) if item["uid"] == dashboard_uid(stream.name)
    )
    variables: dict[str, Value] = {"window": "3600", "segment": "all rows", "version": ["1"]}
    with connect(stream.config.postgres, "read", autocommit=True) as connection:
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                text = expand(target["rawSql"], START, START + FIRST * HOUR, HOUR, variables)
                if "performance" in text or "joined AS" in text:
                    answer = connection.execute(text.encode()).fetchall()
                    actual.setdefault(panel["title"], []).append(answer)
    (realised_rows, estimated_rows) = actual["Realised and estimated: AUC"]
    assert len(estimated_rows) >= FIRST - 1
    assert len(realised_rows) >= FIRST - 1
    assert {row[1] for row in actual["Performance by monitor"][0]} >= {
        "realised_auc",
        "estimated_auc",
        "realised_auc (reference)",
        "estimated_auc (reference)",
    }
    assert all(share == pytest.approx(1) for _, share in actual["Label coverage"][0])


def test_a_changed_baseline_reaches_the_past_by_backfill(make_stream: Any) -> None:
    """What was measured for the last time is measured again, as if it had always been so."""

    def run(baseline: str) -> Stream:
        settings = monitors(performance={**SETTINGS, "baseline": baseline})
        stream: Stream = make_stream(labels=LABELS, monitors=settings)
        for number in range(24):
            stream.hour(number, n=150)
            label(stream, number)
        Runner(stream.config).run(until_idle=True)
        return stream

    def details(stream: Stream) -> list[Any]:
        return stream.sql(
            "SELECT window_end, status, detail FROM driftline.verdict"
            " WHERE monitor = 'realised_auc' ORDER BY 1"
        )

    short, long = run("10 h"), run("20 h")
    assert details(short) != details(long)
    changed = short.with_model(monitors=long.section.monitors.model_dump(mode="json"))
    backfill(changed, short.name, START, START + 24 * HOUR)
    assert details(short) == details(long)
