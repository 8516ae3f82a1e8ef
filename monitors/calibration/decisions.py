"""What the tests of one monitor decide of many windows: p-values, effects and statuses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from driftline.monitors.calibration.null import Null
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import Comparison
from driftline.monitors.windows.verdict import Status


@dataclass(frozen=True, eq=False)
class Decisions:
    """One monitor's tests of m windows of a column that have enough rows.

    Attributes:
        found: the windows against their reference.
        compared: the same of what is judged: a window with more rows than the null distribution
            reaches is judged as if it had as many as that.
        windows: what is judged.
        nulls: the null distribution for each; None where there is none.
        level: the false-alarm rate of each test; None when it is only shown.
        alerts: an alarm may open an incident.
        fixed: the value that alarms instead, whatever the null distribution.
    """

    found: Comparison
    compared: Comparison
    windows: Counts
    nulls: Sequence[Null | None]
    level: float | None
    alerts: bool
    fixed: float | None = None

    @cached_property
    def p_values(self) -> list[float | None]:
        """How often windows without change have such a statistic, or a larger one."""
        if self.fixed is not None:
            return [None] * len(self.nulls)
        return [
            None if null is None else finite(float(null.p_value(statistic)))
            for null, statistic in zip(self.nulls, self._statistics, strict=True)
        ]

    @cached_property
    def effects(self) -> list[float | None]:
        """In standard deviations of what is usual, signed."""
        return [
            None
            if null is None
            else finite((sign or 1.0) * math.sqrt(max(statistic, 0.0) / null.scale))
            for null, statistic, sign in zip(
                self.nulls, self._statistics, self.compared.sign.tolist(), strict=True
            )
        ]

    @cached_property
    def statuses(self) -> list[Status]:
        """What each window's verdict says."""
        if self.fixed is not None:
            return [self._against_fixed(value) for value in self.found.value.tolist()]
        return [self._status(null, p) for null, p in zip(self.nulls, self.p_values, strict=True)]

    @property
    def _statistics(self) -> list[float]:
        statistics: list[float] = self.compared.statistic.tolist()
        return statistics

    def _against_fixed(self, value: float) -> Status:
        assert self.fixed is not None
        if not self.alerts:
            return "shown"
        return "alarm" if abs(value) > self.fixed else "ok"

    def _status(self, null: Null | None, p: float | None) -> Status:
        if null is None:
            return "not_calibrated" if self.alerts else "shown"
        if self.level is None:
            return "shown"
        if null.attainable > self.level:
            return "not_calibrated"
        return "alarm" if p is not None and p <= self.level else "ok"


def finite(value: float) -> float | None:
    """None for what no table holds: NaN and infinities."""
    return value if math.isfinite(value) else None
