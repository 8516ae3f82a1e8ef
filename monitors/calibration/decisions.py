"""The decisions of one monitor's tests on many windows: p-values, effects and statuses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from driftline.monitors.calibration.null import NullDistribution
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import Comparison
from driftline.monitors.windows.verdict import Status


@dataclass(frozen=True, eq=False)
class Decisions:
    """One monitor's tests of m windows of a column that have enough rows.

    Attributes:
        observed: the windows compared with their reference.
        compared: the same for `windows`.
        windows: the tested windows; one with more rows than its null distribution covers is
            scaled down to that number of rows.
        nulls: the null distribution of each; None where there is none.
        level: the significance level of each test; None when results are only shown.
        alerts: an alarm may open an incident.
        fixed: a fixed threshold of the value, used instead of the null distribution.
    """

    observed: Comparison
    compared: Comparison
    windows: Counts
    nulls: Sequence[NullDistribution | None]
    level: float | None
    alerts: bool
    fixed: float | None = None

    @cached_property
    def p_values(self) -> list[float | None]:
        """Probability of a statistic at least as large in a window without change."""
        if self.fixed is not None:
            return [None] * len(self.nulls)
        return [
            None if null is None else finite(float(null.p_value(statistic)))
            for null, statistic in zip(self.nulls, self._statistics, strict=True)
        ]

    @cached_property
    def effects(self) -> list[float | None]:
        """Signed, in standard deviations of the null distribution."""
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
        """The status of each window's verdict."""
        if self.fixed is not None:
            return [self._against_fixed(value) for value in self.observed.value.tolist()]
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

    def _status(self, null: NullDistribution | None, p: float | None) -> Status:
        if null is None:
            return "not_calibrated" if self.alerts else "shown"
        if self.level is None:
            return "shown"
        if null.attainable > self.level:
            return "not_calibrated"
        return "alarm" if p is not None and p <= self.level else "ok"


def finite(value: float) -> float | None:
    """None for NaN and infinities, which database columns do not hold."""
    return value if math.isfinite(value) else None
