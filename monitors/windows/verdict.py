"""A verdict: the result of one test of a window by a monitor."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from driftline import names
from driftline.config.monitors import Family

#: `ok`, `alarm`: tested at a significance level; `not_calibrated`: the level is not attainable with
#: the reference; `insufficient`: too few rows; `no_data`: none; `shown`: computed, not tested;
#: `broken`: the monitor failed.
Status = Literal["ok", "alarm", "not_calibrated", "insufficient", "no_data", "shown", "broken"]


@dataclass(frozen=True)
class Window:
    """A stretch of event time: [end - seconds, end)."""

    seconds: int
    end: datetime

    @property
    def start(self) -> datetime:
        """Its first instant."""
        return self.end - timedelta(seconds=self.seconds)


@dataclass(frozen=True)
class Verdict:
    """The result of one monitor for one column in one window.

    Attributes:
        monitor: its name in `MONITORS`.
        family: the kind of problem; a model has at most one open incident per family.
        column: feature, score or latency; "" for the whole stream.
        status: see `Status`.
        rows: how many rows were judged.
        alerts: an alarm may open an incident.
        value: the statistic, in the monitor's own unit (see its file); None when not computed.
        expected: the same for the reference, where that has a meaning.
        threshold: the value at which the alarm begins, for this number of rows.
        p_value: probability of a value at least as extreme in a window without change.
        level: significance level of this test; alarm when p_value <= level.
        effect: signed change in standard deviations of the null distribution; ranks contributors.
        provisional: calibrated by a declared variation, not by the reference's own windows.
        detail: one sentence with numbers, for people.
        segment: "" for all rows.
        version: the model version whose predictions were judged; 0 for the stream.
        against: the version that it was compared with; 0: compared with a reference.
        low, high: the value's 95 % interval for independent events, where it has one.
    """

    monitor: str
    family: Family
    column: str
    status: Status
    rows: int
    alerts: bool = True
    value: float | None = None
    expected: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    level: float | None = None
    effect: float | None = None
    provisional: bool = False
    detail: str = ""
    segment: str = names.ALL_ROWS
    version: int = 0
    against: int = 0
    low: float | None = None
    high: float | None = None
