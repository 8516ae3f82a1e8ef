"""When an incident fires and ends, by verdicts that are written one at a time."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from driftline.monitoring import Family
from driftline.storage import incidents, verdicts
from driftline.storage.connection import connect
from monitors.alerts.alerting import Alerting
from monitors.running.fresh import Fresh, row
from monitors.running.schedule import Length
from monitors.stream.pulse import MINUTE, REJECTS
from monitors.verdict import Status, Verdict
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
    verdict = Verdict(monitor, family, "", status, 100, detail=status)
    with connect(stream.config.postgres, "write") as connection:
        verdicts.say(connection, stream.name, length.seconds, end, [row(verdict)], monitor=monitor)
        fresh = Fresh(end, length, 100, True, False, [verdict])
        Alerting(stream.name, stream.section).apply(connection, [fresh])


def firing(stream: Stream) -> set[str]:
    with connect(stream.config.postgres, "write") as connection:
        return set(incidents.still_open(connection, stream.name))


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
    said: list[set[str]] = []
    wanted: list[Status] = ["ok", "alarm", "ok", "alarm", "ok", "ok"]
    for number, status in enumerate(wanted):
        end = START + timedelta(days=days * number)
        look(stream, HOURLY, end, DRIFT, status)
        for hours in range(1, 9):
            look(stream, HOURLY, end + hours * HOUR, DRIFT, "no_data")
        said.append(firing(stream))
    assert said == [set(), set(), set(), {"drift"}, {"drift"}, set()]


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
