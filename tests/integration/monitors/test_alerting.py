"""When an incident fires and ends, by verdicts that are written one at a time."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from driftline.config.monitors import Family
from driftline.monitors.alerts.alerting import Alerting
from driftline.monitors.stream.realtime_checks import MINUTE, REJECTS
from driftline.monitors.windows.judged_window import JudgedWindow, row
from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Status, Verdict
from driftline.storage.connection import connect
from driftline.storage.monitoring import incidents, verdicts
from tests.integration.monitors.conftest import HOUR, START, Stream, monitors

DRIFT: tuple[str, Family] = ("omnibus", "drift")
UNEXPECTED: tuple[str, Family] = ("unexpected", "quality")
REJECTED: tuple[str, Family] = ("rejected", "quality")
HOURLY = Length(3_600, 3_600, 3_600)


@pytest.fixture
def stream(make_stream: Callable[..., Stream]) -> Stream:
    return make_stream()


def look(
    stream: Stream, length: Length, end: datetime, of: tuple[str, Family], status: Status
) -> None:
    """A window with one verdict of a monitor and its family, judged and applied."""
    monitor, family = of
    apply(stream, length, end, Verdict(monitor, family, "", status, 100, detail=status))


def apply(stream: Stream, length: Length, end: datetime, *stored_verdicts: Verdict) -> None:
    """A window with verdicts of one monitor, judged and applied."""
    with connect(stream.config.postgres, "write") as connection:
        rows = [row(verdict) for verdict in stored_verdicts]
        verdicts.write_monitor(
            connection, stream.name, length.seconds, end, rows, monitor=stored_verdicts[0].monitor
        )
        fresh = JudgedWindow(end, length, 100, True, False, stored_verdicts)
        Alerting(stream.name, stream.section).apply(connection, [fresh])


def firing(stream: Stream) -> set[str]:
    with connect(stream.config.postgres, "write") as connection:
        return set(incidents.unresolved(connection, stream.name))


def test_all_lengths_that_contributed_must_be_good_also_those_of_another_round(
    stream: Stream,
) -> None:
    def hour(number: int, status: Status) -> None:
        look(stream, HOURLY, START + number * HOUR, UNEXPECTED, status)

    def rejects(minutes: int, status: Status) -> None:
        end = START + HOUR + timedelta(minutes=minutes)
        look(stream, REJECTS, end, REJECTED, status)

    hour(1, "alarm")
    rejects(5, "alarm")
    hour(2, "ok")
    rejects(115, "alarm")
    hour(3, "ok")
    assert firing(stream) == {"quality"}
    rejects(125, "ok")
    assert firing(stream) == {"quality"}
    rejects(130, "ok")
    assert firing(stream) == set()


@pytest.mark.parametrize("days", [1, 20])
def test_windows_with_rows_are_counted_however_rare_they_are(
    make_stream: Callable[..., Stream], days: int
) -> None:
    stream = make_stream(monitors=monitors(hysteresis={"fire": 2, "of": 3, "resolve": 2}))
    firing_families: list[set[str]] = []
    expected: list[Status] = ["ok", "alarm", "ok", "alarm", "ok", "ok"]
    for number, status in enumerate(expected):
        end = START + timedelta(days=days * number)
        look(stream, HOURLY, end, DRIFT, status)
        for hours in range(1, 9):
            look(stream, HOURLY, end + hours * HOUR, DRIFT, "no_data")
        firing_families.append(firing(stream))
    assert firing_families == [set(), set(), set(), {"drift"}, {"drift"}, set()]


def test_what_the_config_watches_no_more_ends(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(monitors=monitors(no_traffic="10 min"))
    look(stream, MINUTE, START + HOUR, ("no_traffic", "volume"), "alarm")
    look(stream, HOURLY, START + HOUR, DRIFT, "alarm")
    assert firing(stream) == {"volume", "drift"}
    config: Any = stream.with_model(monitors=monitors(no_traffic=None, windows=["1 d"]))
    changed = Stream(config, stream.name, stream.binning)
    day = Length(86_400, 86_400, 86_400)
    look(changed, day, START + timedelta(days=2), DRIFT, "ok")
    assert firing(changed) == set()


def drift_of(monitor: str, status: Status, column: str = "") -> Verdict:
    return Verdict(monitor, "drift", column, status, 100, detail=status)


def after_each(
    stream: Stream, windows: Sequence[Sequence[Verdict]], *, together: bool = False
) -> list[bool]:
    """Whether an incident of drift is open, after each window or after all, judged together."""
    actual = []
    with connect(stream.config.postgres, "write") as connection:
        alerting = Alerting(stream.name, stream.section)
        fresh = []
        for number, stored_verdicts in enumerate(windows, 1):
            end = START + number * HOUR
            verdicts.write(
                connection, stream.name, 3_600, end, map(row, stored_verdicts), revision=0
            )
            fresh.append(JudgedWindow(end, HOURLY, 100, True, False, stored_verdicts))
            if not together:
                alerting.apply(connection, fresh[-1:])
                actual.append("drift" in incidents.unresolved(connection, stream.name))
        if together:
            alerting.apply(connection, fresh)
            actual.append("drift" in incidents.unresolved(connection, stream.name))
    return actual


FINE = drift_of("omnibus", "ok", "country")
MOVED = drift_of("location", "alarm", "amount")
METRIC = "evidently.ValueDrift(method=psi)"
MEASURED = drift_of(METRIC, "alarm", "amount")


@pytest.mark.parametrize(
    ("first", "broken"),
    [
        (MOVED, drift_of("location", "broken", "amount")),
        # what fails as a whole names none of its columns
        (MEASURED, drift_of("evidently.ValueDrift", "broken")),
        (MEASURED, drift_of("raw_rows", "broken")),
        (MOVED, Verdict("segment", "pipeline", "", "broken", 0)),
    ],
)
def test_windows_in_which_nobody_looked_do_not_end_an_incident(
    make_stream: Callable[..., Stream], first: Verdict, broken: Verdict
) -> None:
    good = replace(first, status="ok")
    windows = [[FINE, first], [FINE, broken], [FINE, broken], [FINE, good], [FINE, good]]
    assert after_each(make_stream(), windows) == [True, True, True, True, False]
    assert after_each(make_stream(), windows[:-1], together=True) == [True]
    assert after_each(make_stream(), windows, together=True) == [False]


@pytest.mark.parametrize(
    "broken",
    [
        drift_of("location", "broken", "country"),
        drift_of("evidently.ValueDrift", "broken"),
        Verdict("segment", "pipeline", "", "broken", 0),
    ],
)
def test_what_is_broken_for_ever_keeps_no_incident_of_others_open(
    stream: Stream, broken: Verdict
) -> None:
    good = replace(MOVED, status="ok")
    windows = [[MOVED, broken], [good, broken], [good, broken]]
    assert after_each(stream, windows) == [True, True, False]
    assert firing(stream) == {"pipeline"}


def test_a_column_that_joins_an_open_incident_is_told_once(stream: Stream) -> None:
    def hour(number: int, *columns: str) -> None:
        stored_verdicts = [
            Verdict("location", "drift", column, "alarm", 100, value=7.5, detail=f"{column} moved")
            for column in columns
        ]
        apply(stream, HOURLY, START + number * HOUR, *stored_verdicts)

    hour(1, "temp")
    hour(2, "temp")
    hour(3, "temp", "amount", "visib")
    hour(4, "amount")
    hour(5, "temp", "humid")
    sent = stream.sql("SELECT kind, title, body FROM driftline.notification ORDER BY id")
    assert [item[:2] for item in sent] == [
        ("fired", "[ticket] fraud: drift in temp: temp moved"),
        ("changed", "[ticket] fraud: drift now also in amount, visib"),
        ("changed", "[ticket] fraud: drift now also in humid"),
    ]
    lines = sent[1][2].splitlines()
    assert lines[1:3] == [
        "New in this incident: amount, visib",
        "- amount: amount moved (location, window 1 h, value 7.5)",
    ]
    assert "- temp: temp moved" in sent[1][2]


def test_a_column_that_joins_as_the_incident_becomes_a_page_is_the_same_message(
    stream: Stream,
) -> None:
    def hour(number: int, family: Family, column: str) -> None:
        stored_verdicts = Verdict("location", family, column, "alarm", 100, detail="moved")
        apply(stream, HOURLY, START + number * HOUR, stored_verdicts)

    hour(1, "drift", "temp")
    hour(1, "performance", "score")
    hour(2, "drift", "amount")
    sent = stream.sql("SELECT title, dedupe_key FROM driftline.notification ORDER BY id")
    assert len(sent) == 3
    title, key = sent[2]
    assert title == "[escalated to page] fraud: drift now also in amount"
    assert key.endswith(":changed:page:+amount")
