"""A runner judges every window once, even if it is interrupted."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from driftline.monitors.running.runner import Runner
from driftline.monitors.stream.realtime_checks import RealtimeChecks
from driftline.storage.connection import connect
from driftline.storage.monitoring import reports, verdicts
from driftline.storage.versions.promotions import add_event
from tests.integration.monitors.conftest import HOUR, START, Stream, monitors, rows

MINUTE = timedelta(minutes=1)


def judged(stream: Stream) -> dict[int, tuple[int, int, bool]]:
    """Hour -> revision, rows, final."""
    actual = stream.sql(
        "SELECT window_end, revision, rows, final FROM driftline.judged_window"
        " WHERE window_seconds = 3600 AND model = %s",
        stream.name,
    )
    return {(end - START) // HOUR - 1: tuple(remaining) for end, *remaining in actual}


def now(stream: Stream) -> datetime:
    actual: datetime = stream.sql("SELECT clock_timestamp()")[0][0]
    return actual


def alert(stream: Stream, family: str) -> Any:
    actual = stream.sql(
        "SELECT state, severity, columns FROM driftline.alert WHERE model = %s AND family = %s",
        stream.name,
        family,
    )
    return actual[0]


@pytest.fixture
def stream(make_stream: Any) -> Stream:
    created: Stream = make_stream()
    return created


def test_windows_are_judged_once_and_late_events_judge_them_again(stream: Stream) -> None:
    for number in range(5):
        stream.hour(number)
    runner = Runner(stream.config)
    runner.run(once=True)
    # the newest event is shortly before the end of hour 4: its lateness has not passed
    assert judged(stream) == dict.fromkeys(range(4), (0, 400, True))
    runner.run(once=True)
    assert judged(stream) == dict.fromkeys(range(4), (0, 400, True))
    stream.hour(2, n=10)
    Runner(stream.config).run(once=True)
    assert judged(stream)[2] == (1, 410, True)
    assert [judged(stream)[n] for n in (0, 1, 3)] == [(0, 400, True)] * 3
    Runner(stream.config).run(until_idle=True)
    assert judged(stream)[4] == (0, 400, False)
    stream.hour(5)
    Runner(stream.config).run(once=True)
    history = stream.sql(
        "SELECT count(*), min(revision), max(revision) FROM driftline.verdict_history"
    )
    assert judged(stream)[4] == (0, 400, True)
    assert history[0][0] > 0
    assert history[0][1:] == (0, 0)


def test_windows_begin_at_whole_steps_also_after_other_steps(make_stream: Any) -> None:
    sliding = {"length": "1 h", "every": "10 min"}
    stream: Stream = make_stream(monitors=monitors(windows=[sliding]))
    stream.log(rows(stream.rng, 100, START))
    stream.log(rows(stream.rng, 100, START + 25 * MINUTE))
    Runner(stream.config).run(once=True)
    [(last,)] = stream.sql("SELECT max(window_end) FROM driftline.judged_window")
    assert last.minute != 0
    for number in (1, 2, 3):
        stream.hour(number, n=100)
    Runner(stream.with_model(monitors=monitors())).run(once=True)
    ends = stream.sql(
        "SELECT window_end FROM driftline.judged_window WHERE window_end > %s ORDER BY 1", last
    )
    assert [end for (end,) in ends] == [START + n * HOUR for n in (2, 3)]


def test_more_lateness_loses_no_late_event(stream: Stream) -> None:
    for number in range(4):
        stream.hour(number)
    Runner(stream.config).run(once=True)
    assert judged(stream)[2] == (0, 400, True)
    later = stream.with_model(monitors=monitors(lateness="3 h"))
    stream.hour(2, n=10)
    Runner(later).run(once=True)
    assert judged(stream)[2][:2] == (1, 410)


def test_a_revision_keeps_the_report_of_its_window(stream: Stream) -> None:
    for number in range(4):
        stream.hour(number)
    runner = Runner(stream.config)
    runner.run(once=True)
    since, until = START + HOUR, START + 2 * HOUR
    with connect(stream.config.postgres, "write", autocommit=True) as connection:
        number = reports.store(connection, "fraud", since, until, rows=9, summary={}, html="")
    stream.hour(1, n=40, shift=5.0)
    runner.run(once=True)
    linked = (
        "SELECT monitor IN ('slow_drift', 'volume') AS other, max(revision), min(report_id),"
        " count(*) = count(report_id) FROM driftline.verdict"
        " WHERE window_end = %s AND window_seconds = 3600 GROUP BY 1 ORDER BY 1"
    )
    assert stream.sql(linked, until) == [(False, 1, number, True), (True, 1, number, True)]


def test_what_a_window_held_can_be_drawn(stream: Stream) -> None:
    stream.hour(0)
    Runner(stream.config).run(until_idle=True)
    actual = stream.sql(
        'SELECT "column", rows, mean, p50, p99, labels, counts, reference_shares'
        " FROM driftline.window_stat WHERE segment = '' ORDER BY 1"
    )
    by_name = {name: remaining for name, *remaining in actual}
    assert set(by_name) == {"amount", "country", "score", "inference_ms", "lag_ms"}
    n, mean, median, *_ = by_name["amount"]
    assert (n, abs(mean - 100) < 3, abs(median - 100) < 3) == (400, True, True)
    for *_, labels, counts, shares in by_name.values():
        assert len(labels) == len(counts) <= 32
        assert sum(counts) == 400
        assert shares is None or abs(sum(shares) - 1) < 1e-9


@pytest.mark.parametrize(
    "outside",
    [
        {"checks": {"wasserstein": {"threshold": 5.0, "alert": True}}},
        {"evidently": [{"name": "MeanValue", "options": {"column": "amount"}, "alert": True}]},
    ],
    ids=["threshold", "evidently"],
)
def test_what_the_budget_does_not_cover_claims_nothing(
    make_stream: Any, outside: dict[str, Any]
) -> None:
    """The false-alarm rate of such tests is unknown, so the message claims none."""
    stream: Stream = make_stream(monitors=monitors(**outside))
    stream.keep_reference_rows()
    stream.hour(0)
    stream.hour(1, shift=30.0)
    stream.hour(2)
    Runner(stream.config).run(once=True)
    ((contributors, false_alarms_per_week),) = stream.sql(
        "SELECT contributors, false_alarms_per_week FROM driftline.incident WHERE family = 'drift'"
    )
    uncovered = {item["monitor"].partition(".")[0] for item in contributors if not item["level"]}
    assert uncovered == {"evidently" if "evidently" in outside else "wasserstein"}
    assert false_alarms_per_week is None
    ((body,),) = stream.sql(
        "SELECT body FROM driftline.notification AS n JOIN driftline.incident AS i"
        " ON i.id = n.incident_id WHERE family = 'drift' AND kind = 'fired'"
    )
    assert "False-alarm rate unknown: not calibrated" in body


def test_drift_opens_one_incident_and_ends(stream: Stream) -> None:
    for number in range(3):
        stream.hour(number)
    runner = Runner(stream.config)
    runner.run(once=True)
    assert alert(stream, "drift")[0] == "ok"
    for number in range(3, 6):
        stream.hour(number, shift=30.0)
    stream.hour(6)
    runner.run(once=True)
    assert alert(stream, "drift") == ("firing", "ticket", "amount")
    incident = stream.sql(
        "SELECT since, last, resolved_at, contributors, false_alarms_per_week"
        " FROM driftline.incident WHERE family = 'drift'"
    )
    assert len(incident) == 1
    since, last, resolved, contributors, false_alarms_per_week = incident[0]
    assert (since, last, resolved) == (START + 3 * HOUR, START + 6 * HOUR, None)
    assert {item["column"] for item in contributors} == {"amount"}
    assert {"location", "omnibus"} <= {item["monitor"] for item in contributors}
    assert false_alarms_per_week == 1.0
    # the sums of slow drift need longer to come down than windows by themselves
    for number in range(7, 45):
        stream.hour(number)
    runner.run(once=True)
    assert alert(stream, "drift")[0] == "ok"
    kinds = stream.sql(
        "SELECT kind, title FROM driftline.notification AS n JOIN driftline.incident AS i"
        " ON i.id = n.incident_id WHERE family = 'drift' ORDER BY n.id"
    )
    assert [kind for kind, _ in kinds] == ["fired", "resolved"]
    assert kinds[0][1].startswith("[ticket] fraud: drift in amount: ")


def test_late_events_after_the_lateness_open_nothing(stream: Stream) -> None:
    for number in range(4):
        stream.hour(number)
    runner = Runner(stream.config)
    runner.run(once=True)
    stream.hour(1, n=800, shift=60.0)
    runner.run(once=True)
    with connect(stream.config.postgres, "read") as connection:
        stored_verdicts = verdicts.of_window(connection, stream.name, 3_600, START + 2 * HOUR)
    assert any(item.status == "alarm" for item in stored_verdicts)
    assert stream.sql("SELECT * FROM driftline.incident WHERE family = 'drift'") == []


def test_a_window_without_rows_is_no_recovery(stream: Stream) -> None:
    stream.hour(0)
    stream.hour(1, shift=60.0)
    stream.hour(12, shift=60.0)
    Runner(stream.config).run(until_idle=True)
    assert judged(stream)[5] == (0, 0, True)
    assert alert(stream, "drift")[0] == "firing"
    assert len(stream.sql("SELECT * FROM driftline.incident WHERE family = 'drift'")) == 1


def test_a_model_that_fails_is_broken_and_stops_no_other(make_stream: Any) -> None:
    stream: Stream = make_stream()
    stream.hour(0)
    stream.hour(1)
    bad = stream.with_model("bad")
    stream.sql(
        "INSERT INTO driftline.profile (bucket, model, span_minutes, version, role, segment,"
        " binning_id, rows, cells) VALUES (%s, 'bad', 1, 1, 'served', '', 'nowhere', 1, 'x'),"
        " (%s, 'bad', 1, 1, 'served', '', 'nowhere', 1, 'x')",
        START,
        START + 2 * HOUR,
    )
    Runner(bad).run(once=True)
    assert judged(stream)[0] == (0, 400, True)
    actual = stream.sql(
        "SELECT status, detail FROM driftline.verdict WHERE model = 'bad' AND monitor = 'window'"
    )
    assert actual[0][0] == "broken"
    assert "'nowhere' is not stored" in actual[0][1]
    state = stream.sql(
        "SELECT state FROM driftline.alert WHERE model = 'bad' AND family='pipeline'"
    )
    assert state == [("firing",)]


def test_a_full_disk_is_no_lost_connection(stream: Stream) -> None:
    """The round fails as any other, and is tried again later."""
    stream.hour(0)
    stream.hour(1)
    stream.sql(
        """CREATE FUNCTION driftline.full() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$"""
    )
    refuse = (
        "CREATE TRIGGER disk BEFORE INSERT ON driftline.{} FOR EACH ROW"
        " EXECUTE FUNCTION driftline.full()"
    )
    stream.sql(refuse.format("judged_window"))
    runner = Runner(stream.config)
    done = runner.round(everything=True)
    assert (done.failed, done.more) == (1, False)
    assert runner.round(everything=True).failed == 0  # the model is paused
    assert alert(stream, "pipeline")[0] == "broken"
    ((error,),) = stream.sql("SELECT error FROM driftline.monitor_progress")
    assert error.startswith("DiskFull: no space left")
    stream.sql(refuse.format("monitor_progress"))  # not even that can be stored
    runner.close()
    other = Runner(stream.config)
    other.run(once=True)
    assert other._errors == 1
    for table in ("judged_window", "monitor_progress"):
        stream.sql(f"DROP TRIGGER disk ON driftline.{table}")
    Runner(stream.config).run(once=True)
    assert judged(stream)[0] == (0, 400, True)
    assert alert(stream, "pipeline")[0] == "ok"


def test_after_a_failed_round_a_good_one_without_windows_says_ok(stream: Stream) -> None:
    """The check of rejected messages failed, and is repeated."""
    stream.hour(0)
    stream.hour(1)
    runner = Runner(stream.config)
    (model,) = runner._models.values()
    stream.sql("ALTER TABLE driftline.ledger RENAME TO away")
    assert runner.round().failed == 1
    assert alert(stream, "pipeline")[0] == "broken"
    stream.sql("ALTER TABLE driftline.away RENAME TO ledger")
    assert model.realtime.due(now(stream))
    model.not_before = 0.0
    assert runner.round(everything=True).windows == 1
    assert alert(stream, "pipeline")[0] == "ok"
    assert not model.realtime.due(now(stream) - timedelta(minutes=1))
    stream.sql("ALTER TABLE driftline.ledger RENAME TO away")
    model.realtime = RealtimeChecks(stream.name, stream.section)
    assert runner.round(everything=True).failed == 1
    assert alert(stream, "pipeline")[0] == "broken"
    stream.sql("ALTER TABLE driftline.away RENAME TO ledger")
    model.not_before = 0.0
    done = runner.round(everything=True)
    assert (done.windows, done.failed) == (0, 0)
    assert alert(stream, "pipeline")[0] == "ok"


def test_a_version_without_reference_says_so(stream: Stream) -> None:
    stream.hour(0, version=7)
    Runner(stream.config).run(until_idle=True)
    actual = stream.sql("SELECT status, detail FROM driftline.verdict WHERE monitor = 'reference'")
    assert len(actual) == 1
    assert "'driftline reference set fraud --version 7" in actual[0][1]


def test_rejects_and_silence_by_the_real_time(make_stream: Any) -> None:
    stream: Stream = make_stream(
        monitors={"windows": ["1 h"], "clock": "event", "no_traffic": "1 h"}
    )
    stream.hour(0, n=100, rejected=100)
    stream.sql("UPDATE driftline.ledger SET committed_at = committed_at - interval '5 minutes'")
    Runner(stream.config).run(once=True)
    assert alert(stream, "quality")[0] == "firing"
    stream.sql("UPDATE driftline.ledger SET committed_at = committed_at - interval '3 hours'")
    Runner(stream.config).run(once=True)
    assert alert(stream, "volume") == ("firing", "page", "no_traffic")


def test_a_champion_without_gates_fires_until_it_is_put_back(make_stream: Any) -> None:
    stream: Stream = make_stream(monitors=monitors(hysteresis={"resolve": 1}))
    stream.hour(0)

    def moved(version: int, kind: str) -> Any:
        with connect(stream.config.postgres, "write", autocommit=True) as connection:
            add_event(connection, stream.name, version, kind=kind, by="w1", role="champion")
        Runner(stream.config).run(once=True)
        return alert(stream, "registry")

    assert moved(2, "ungated")[0] == "firing"
    (summary,) = stream.sql("SELECT summary FROM driftline.incident WHERE family = 'registry'")[0]
    assert "version 2 became champion without gates" in summary
    assert moved(1, "gated")[0] == "ok"


@pytest.mark.parametrize("which", ["inference", "end_to_end"])
def test_latency_against_its_objective(make_stream: Any, which: str) -> None:
    settings = {
        "windows": ["1 h"],
        "clock": "event",
        "latency": {which: {"limit": "0.1 ms", "target": 0.9, "burn_rate": 5}},
    }
    stream: Stream = make_stream(monitors=settings)
    stream.hour(0, n=1_000)
    stream.hour(1, n=10)
    Runner(stream.config).run(once=True)
    column = {"inference": "inference_ms", "end_to_end": "lag_ms"}[which]
    assert alert(stream, "latency") == ("firing", "page", column)
    lengths = stream.sql(
        "SELECT DISTINCT window_seconds FROM driftline.verdict WHERE monitor = 'latency'"
    )
    assert (300,) in lengths


def test_progress_and_heartbeat_are_kept(stream: Stream) -> None:
    stream.hour(0)
    stream.hour(1)
    runner = Runner(stream.config)
    runner.round()
    assert stream.sql("SELECT id, models FROM driftline.runner") == [(runner.id, 1)]
    progress = stream.sql("SELECT judged_until, error FROM driftline.monitor_progress")
    assert progress == [(START + HOUR, "")]
    runner.close()
    # its last heartbeat is kept, so that nobody is paged before it is too old
    states = stream.sql(
        "SELECT stopped_at >= heartbeat_at, heartbeat_at > now() - interval '1 min'"
        " FROM driftline.runner"
    )
    assert states == [(True, True)]
    stream.sql("UPDATE driftline.runner SET heartbeat_at = heartbeat_at - interval '61 min'")
    following = Runner(stream.config)
    following.round()
    assert stream.sql("SELECT id FROM driftline.runner") == [(following.id,)]
    following.close()
    assert timedelta(0) <= timedelta(seconds=runner.metrics.lag._value.get()) < HOUR


def test_the_past_of_one_monitor_is_read_by_its_index(stream: Stream) -> None:
    """Even with many other verdicts: 150 per window here, over 1,000 windows."""
    stream.sql(
        """INSERT INTO driftline.verdict (window_end, model, window_seconds, segment, "column",
               monitor, family, version, revision, rows, status, alerts, provisional)
           SELECT %s + n * interval '1 hour', %s, 3600, '', 'amount', 'm' || monitor, 'drift',
                  1, 0, 400, 'ok', true, false
             FROM generate_series(1, 1000) AS n, generate_series(1, 150) AS monitor""",
        START,
        stream.name,
    )
    stream.sql("ANALYZE driftline.verdict")
    end = START + 1_000 * HOUR
    with connect(stream.config.postgres, "migrate", autocommit=True) as connection:
        actual = verdicts.past_verdicts(
            connection, stream.name, 3_600, "m7", since=START, until=end
        )
        connection.execute("SELECT pg_stat_force_next_flush()")
    assert len(actual["amount", ""]) == 1_000
    ((entries,),) = stream.sql(
        "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes"
        " WHERE right(indexrelname, 7) = '_series'"
    )
    assert entries == 1_000
