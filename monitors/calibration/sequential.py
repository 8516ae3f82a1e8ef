"""Slow drift: changes too small for a single window, detected by cumulative sums (CUSUM)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np

from driftline.config.monitors import Monitors, WindowLength
from driftline.monitors.calibration import budget
from driftline.monitors.calibration.calibrator import Calibrator
from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.monitor import applies_to
from driftline.monitors.windows.verdict import Status, Verdict, Window
from driftline.profile.binning import Floats
from driftline.wording import counted

NAME = "slow_drift"
SOURCE = "location"  # the monitor whose effects are summed

_WEEK = timedelta(days=7)
_SHIFT = 0.5  # optimal for a lasting change of twice this many standard deviations of a window
_REFERENCE_ERROR = 2.0  # standard errors of the reference that never add to a sum
_OUTLIER = 4.0  # largest effect that counts: a window with a larger one alarms by itself
_SUM_CAP = 1.5  # in limits, so that the sum falls soon when the change ends


@dataclass(frozen=True)
class Cusum:
    """Two-sided cumulative sums of effects (Page 1954).

    Attributes:
        allowance: subtracted from each effect before it is added.
        limit: the alarm threshold of a sum.

    >>> Cusum(0.5, 3.0).path(np.array([1.5, 1.5, 1.5, 1.5, -2.0])).round(1)
    array([1. , 2. , 3. , 4. , 1.5])
    """

    allowance: float
    limit: float

    @classmethod
    def of(cls, run_length: float, inflation: float, error: float) -> "Cusum":
        """The CUSUM with a given mean time between false alarms.

        Siegmund's (1985) approximation for a sum with the long-run variance of the effects.

        Parameters:
            run_length: mean number of windows between false alarms.
            inflation: long-run variance of the effects over their variance; 1 when independent.
            error: standard error of the reference, in standard deviations of a window.
        """
        allowance = _SHIFT + _REFERENCE_ERROR * error
        deviation = math.sqrt(inflation)
        low, high = 0.0, 1_000.0
        for _ in range(60):
            middle = (low + high) / 2
            enough = _run_length(_SHIFT / deviation, middle / deviation) / 2 >= run_length
            low, high = (low, middle) if enough else (middle, high)
        return cls(allowance, high)

    def path(self, effects: Floats) -> Floats:
        """float64[n], the larger sum, signed, after each of n effects; NaN counts as 0."""
        up = down = 0.0
        path = np.empty(len(effects))
        cap = _SUM_CAP * self.limit
        for i, effect in enumerate(np.clip(np.nan_to_num(effects), -_OUTLIER, _OUTLIER).tolist()):
            up = min(max(up + effect - self.allowance, 0.0), cap)
            down = min(max(down - effect - self.allowance, 0.0), cap)
            path[i] = up if up >= down else -down
        return path


def _run_length(drift: float, limit: float) -> float:
    """Mean windows to a one-sided false alarm, for normal effects with variance 1."""
    reach = 2 * drift * (limit + 1.166)
    if reach > 600:
        return math.inf
    return (math.exp(reach) - reach - 1) / (2 * drift**2)


def longest(settings: Monitors) -> WindowLength:
    """The longest windows that do not overlap; the longest of all when all of them do."""
    disjoint = [window for window in settings.windows if window.step == window.length]
    return max(disjoint or settings.windows, key=lambda window: window.length)


@dataclass(frozen=True)
class Sequential:
    """Judges the series of a version's windows of the longest configured length.

    Attributes:
        settings: the model's monitoring config.
        calibrator: of the version's reference.
        version: the model version of the predictions.
    """

    settings: Monitors
    calibrator: Calibrator
    version: int = 0
    _sums: dict[str, Cusum | None] = field(default_factory=dict, compare=False)

    @property
    def length(self) -> WindowLength:
        """The windows whose effects are summed: the longest that do not overlap."""
        return longest(self.settings)

    @property
    def per_week(self) -> float:
        """Effects per week; sliding windows count only if they end at whole multiples of their
        length, as the reference's windows do."""
        return _WEEK / self.length.length

    @property
    def columns(self) -> list[str]:
        """The columns that have effects."""
        binning = self.calibrator.reference.binning
        return [
            name
            for name in budget.monitored_columns(self.settings, binning)
            if applies_to(MONITORS[SOURCE], binning.by_name[name])
        ]

    @property
    def level(self) -> float:
        """The significance level per column and window."""
        allowed = self.settings.false_alarms_per_week * budget.SEQUENTIAL
        return allowed / (self.per_week * len(self.columns))

    def alerts(self, column: str) -> bool:
        """Whether the sums of a column may open incidents."""
        check = self.settings.checks.get(NAME)
        muted = check is not None and check.alert is False
        return budget.alerts(self.settings, MONITORS[SOURCE], column) and not muted

    def judge(self, window: Window, effects: Mapping[str, Floats]) -> list[Verdict]:
        """Sum the effects of all windows since the reference was set, up to and including this one.

        The verdicts depend only on the effects in the order of the windows' ends: a window that is
        judged again, however late, changes the verdicts after it.

        Parameters:
            window: the last one.
            effects: per column, the `effect` of its `location` verdicts in order of window end, of
                windows that do not overlap; NaN where a window was not judged.
        """
        del window
        return [self._column(name, effects[name]) for name in self.columns if name in effects]

    def cusum(self, column: str) -> Cusum | None:
        """The CUSUM of a column; None while the reference has no windows of this length."""
        if column not in self._sums:
            self._sums[column] = self._build_cusum(column)
        return self._sums[column]

    def _build_cusum(self, column: str) -> Cusum | None:
        variation = self.calibrator.variation(MONITORS[SOURCE], column, self.length.seconds)
        if variation is None:
            return None
        inflation, windows = variation
        return Cusum.of(1 / self.level, inflation, math.sqrt(inflation / windows))

    def _column(self, column: str, effects: Floats) -> Verdict:
        alerts = self.alerts(column)
        empty = Verdict(
            NAME, "drift", column, "insufficient", len(effects), alerts=alerts, version=self.version
        )
        if not np.isfinite(effects).any():
            return empty
        cusum = self.cusum(column)
        if cusum is None:
            reason = "the reference has no windows of this length, so their variation is unknown"
            return replace(empty, status="not_calibrated", detail=reason)
        path = cusum.path(effects)
        value = float(path[-1])
        alarm = abs(value) >= cusum.limit
        since = int((np.sign(path[::-1]) == np.sign(value)).argmin() or len(path))
        direction = "up" if value > 0 else "down"
        status: Status = "alarm" if alarm else "ok"
        return replace(
            empty,
            status=status if alerts else "shown",
            value=value,
            expected=0.0,
            threshold=math.copysign(cusum.limit, value),
            level=self.level,
            effect=value / cusum.limit,
            detail=f"{direction} for {counted(since, 'window')}: sum {abs(value):.2f} of "
            f"{cusum.limit:.2f}",
        )
