"""From windows that alarm to incidents: how many it takes, what belongs together, what may open."""

import re
from datetime import timedelta
from typing import Any

import pyarrow as pa

from driftline.monitors.running.backfill import backfill
from driftline.monitors.running.runner import Runner
from tests.integration.monitors.conftest import HOUR, START, Stream, monitors, rows


def state(stream: Stream, family: str = "drift") -> str:
    ((actual,),) = stream.sql(
        "SELECT state FROM driftline.alert WHERE model = %s AND family = %s", stream.name, family
    )
    return str(actual)


def drift(stream: Stream) -> list[Any]:
    return stream.sql(
        "SELECT since, last, resolved_at IS NOT NULL FROM driftline.incident"
        " WHERE family = 'drift' ORDER BY id"
    )


def test_so_many_of_so_many_windows_fire(make_stream: Any) -> None:
    hysteresis = {"fire": 2, "of": 3, "resolve": 2}
    stream: Stream = make_stream(monitors=monitors(hysteresis=hysteresis))
    runner = Runner(stream.config)
    # one bad hour of four is pending, and over after three; then two of three fire
    desired = {2: "pending", 3: "pending", 4: "pending", 5: "ok", 6: "pending", 7: "pending"}
    desired |= {8: "firing", 9: "firing", 10: "pending", 11: "ok"}
    bad = {2, 6, 8}
    for number in range(13):
        stream.hour(number, shift=30.0 if number in bad else 0.0)
        runner.run(once=True)
        if number - 1 in desired:  # the newest hour has not passed its lateness
            assert state(stream) == desired[number - 1], number - 1
    assert drift(stream) == [(START + 6 * HOUR, START + 9 * HOUR, True)]


def changed(stream: Stream, number: int, n: int = 400) -> pa.Table:
    """An hour in which amounts move a little and countries much."""
    table = rows(stream.rng, n, START + number * HOUR, shift=7.0)
    countries = pa.array(["it"] * n)
    return table.set_column(table.column_names.index("country"), "country", countries)


def test_columns_that_move_together_are_one_incident(make_stream: Any) -> None:
    stream: Stream = make_stream()
    stream.hour(0)
    stream.log(changed(stream, 1))
    stream.hour(2)
    Runner(stream.config).run(once=True)
    ((contributors, summary),) = stream.sql(
        "SELECT contributors, summary FROM driftline.incident WHERE family = 'drift'"
    )
    assert {item["column"] for item in contributors} == {"amount", "country"}
    assert contributors[0]["column"] == "country"
    ranks = [(item["q_value"], -abs(item["effect"])) for item in contributors]
    assert ranks == sorted(ranks)
    # a q-value is never below its p-value, and alarms are far beyond chance among all tests
    assert all(item["p_value"] <= item["q_value"] < 0.01 for item in contributors)
    assert summary.startswith("drift in country, amount: ")
    fired = stream.sql("SELECT title FROM driftline.notification WHERE kind = 'fired'")
    (title,) = (title for (title,) in fired if "drift" in title)
    assert title.startswith("[ticket] fraud: drift in country, amount: ")
    assert re.search(r"(rose|fell) from \d", title)


def test_a_monitor_that_fails_is_told_until_it_works(make_stream: Any) -> None:
    stream: Stream = make_stream(monitors=monitors(evidently=[{"name": "NoSuchMetric"}]))
    stream.keep_reference_rows()
    for number in range(3):
        stream.hour(number)
    Runner(stream.config).run(once=True)
    assert state(stream, "pipeline") == "firing"
    assert state(stream) == "broken"
    mended = stream.with_model(monitors=monitors())
    for number in range(3, 6):
        stream.hour(number)
    Runner(mended).run(once=True)
    assert state(stream, "pipeline") == state(stream) == "ok"
    sent = stream.sql(
        "SELECT kind, title, body FROM driftline.notification WHERE title LIKE '%%pipeline%%'"
    )
    assert [kind for kind, *_ in sent] == ["fired", "resolved"]
    assert sent[0][1].startswith("[ticket] fraud: pipeline failure in evidently.NoSuchMetric: ")
    assert sent[1][1] == "[resolved] fraud: pipeline failure in evidently.NoSuchMetric"
    assert "'NoSuchMetric' is not a class in evidently.metrics" in sent[0][2]
    assert "This is an observed event, not a statistical test" in sent[0][2]
    why = "2 windows of 1 h in a row without an alarm"
    stored = stream.sql("SELECT resolution FROM driftline.incident WHERE family = 'pipeline'")
    assert stored == [(why,)]
    assert f"resolved: {why}" in sent[1][2]
    assert "It lasted 2 h, from 2024-03-04 00:00 UTC to 2024-03-04 02:00 UTC" in sent[1][2]
    assert "NoSuchMetric' is not a class" not in sent[1][2]


def test_late_events_within_the_lateness_open_an_incident(make_stream: Any) -> None:
    stream: Stream = make_stream(monitors=monitors(lateness="3 h"))
    stream.hour(0)
    stream.hour(1)
    runner = Runner(stream.config)
    runner.run(until_idle=True)  # also windows whose lateness has not passed
    assert state(stream) == "ok"
    stream.hour(1, n=800, shift=60.0)
    runner.run(until_idle=True)
    assert state(stream) == "firing"
    assert [item[:2] for item in drift(stream)] == [(START + HOUR, START + 2 * HOUR)]


def test_the_real_time_closes_windows_and_a_pause_is_made_up_for(make_stream: Any) -> None:
    stream: Stream = make_stream(monitors={"windows": ["1 h"], "lateness": "0 s"})
    ((now,),) = stream.sql("SELECT date_trunc('hour', now())")
    for ago in range(1, 9):
        stream.log(rows(stream.rng, 400, now - ago * HOUR))
    Runner(stream.config).run(once=True)
    judged = "SELECT window_end, revision, rows FROM driftline.judged_window ORDER BY 1"
    previous = [item for item in stream.sql(judged) if item[0] > now - 8 * HOUR]
    assert [end for end, *_ in previous[:8]] == [now - ago * HOUR for ago in range(7, -1, -1)]
    assert {tuple(remaining) for _, *remaining in previous[:8]} == {(0, 400)}
    # as if no runner had run for four hours: it continues from what is stored
    for table in ("judged_window", "verdict", "window_stat"):
        stream.sql(f"DELETE FROM driftline.{table} WHERE window_end > %s", now - 4 * HOUR)
    late = Runner(stream.config)
    late.round(everything=True)
    assert [item for item in stream.sql(judged) if item[0] > now - 8 * HOUR][:8] == previous[:8]
    assert late.metrics.windows._value.get() >= 4
    stream.log(rows(stream.rng, 5, now + 10 * HOUR))  # clocks in the future close nothing
    Runner(stream.config).run(once=True)
    ((newest,),) = stream.sql("SELECT max(window_end) FROM driftline.judged_window")
    assert newest <= now + HOUR


PAIRED = monitors(windows=["2 h"], false_alarms_per_week=10)


def beside(stream: Stream, number: int, gap: float, n: int = 300) -> None:
    """An hour in which version 2 scores the same rows as a shadow."""
    table = rows(stream.rng, n, START + number * HOUR)
    moved = pa.array(table["score"].to_numpy() * 0.9 + gap + stream.rng.normal(0, 0.02, n))
    stream.log(table, shadow=moved)


def pairs(stream: Stream) -> list[Any]:
    return stream.sql(
        "SELECT window_end, status, value, expected, p_value, detail FROM driftline.verdict"
        " WHERE monitor = 'version_against_version' AND version = 2 AND against = 1 ORDER BY 1"
    )


def test_a_shadow_that_parts_from_the_champion_opens_an_incident(make_stream: Any) -> None:
    stream: Stream = make_stream(monitors=PAIRED)
    hours = 80
    for number in range(hours):
        beside(stream, number, 0.2 if number >= hours - 6 else 0.05)
    runner = Runner(stream.config)
    runner.run(once=True)
    verdicts = pairs(stream)
    assert [status for _, status, *_ in verdicts[:8]] == ["not_calibrated"] * 8
    assert [status for _, status, *_ in verdicts[-5:]] == ["ok"] * 3 + ["alarm"] * 2
    assert "normally" in verdicts[-1][-1]
    ((contributors,),) = stream.sql(
        "SELECT contributors FROM driftline.incident WHERE resolved_at IS NULL AND family = 'drift'"
    )
    looks = {(item["monitor"], item["version"]) for item in contributors}
    assert looks == {("version_against_version", 2)}


def test_backfill_compares_versions_as_a_live_run_does(make_stream: Any) -> None:
    live: Stream = make_stream(monitors=PAIRED)
    past: Stream = make_stream(monitors=PAIRED)
    runner = Runner(live.config)
    for number in (*range(0, 40, 2), *range(1, 40, 2)):  # every second hour comes late
        beside(live, number, 0.05)
        if number in (20, 38, 11):
            runner.run(once=True)
    runner.run(until_idle=True)
    for number in (*range(0, 40, 2), *range(1, 40, 2)):
        beside(past, number, 0.05)
    beside(past, 41, 0.05, n=1)  # the lateness of the last window has passed
    backfill(past.config, past.name, START, START + timedelta(hours=40))
    assert len(pairs(live)) == 20
    assert pairs(live) == pairs(past)
