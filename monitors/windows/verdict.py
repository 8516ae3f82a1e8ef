"""What a monitor says of a window: one verdict for each look."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from driftline import names
from driftline.config.monitors import Family

#: ok and alarm are judged at a level; `not_calibrated`: the reference cannot support the level;
#: `insufficient`: too few rows; `no_data`: none; `shown`: only computed; `broken`: it failed.
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
    """What one monitor says of one column in one window.

    Attributes:
        monitor: its name in `MONITORS`.
        family: the kind of trouble that an alarm means; incidents are one a model and family.
        column: feature, score or latency; "" for what concerns the whole stream.
        status: see `Status`.
        rows: how many rows were judged.
        alerts: an alarm may open an incident.
        value: the statistic, in the monitor's own unit (see its file); None when not computed.
        expected: the same of the reference, where it has a meaning.
        threshold: the value from which on it alarms, at this size of window.
        p_value: how often a window without change has such a value.
        level: the false-alarm rate of this look; alarm when p_value <= level.
        effect: the change in standard units of its null (signed), to rank contributors.
        provisional: calibrated by a declared variation, not by the reference's own windows.
        detail: one sentence with numbers, for people.
        segment: "" for all rows.
        version: the model version whose predictions were judged; 0 for the stream.
        against: the version that it was compared with; 0: with a reference.
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
