"""Slow drift: small changes that no single window shows, added up over windows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np

from driftline.config.monitors import Monitors, WindowLength
from driftline.monitors.calibration import budget
from driftline.monitors.calibration.calibrator import Calibrator
from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.monitor import takes
from driftline.monitors.windows.verdict import Status, Verdict, Window
from driftline.profile.binning import Floats
from driftline.wording import counted

NAME = "slow_drift"
SOURCE = "location"  # the monitor whose effects are added up

_WEEK = timedelta(days=7)
_SHIFT = 0.5  # a lasting change of twice this many standard deviations of a window is found best
_REFERENCE_ERROR = 2.0  # standard errors of the reference that no sum may be made of
_OUTLIER = 4.0  # a window counts for at most so much: it alarms by itself
_FULL = 1.5  # limits that a sum may reach, so that it comes down again when the change ends


@dataclass(frozen=True)
class Cusum:
    """Two-sided cumulative sums of effects (Page 1954).

    Attributes:
        allowance: taken from each effect before it is added.
        limit: the sum that alarms.

    >>> Cusum(0.5, 3.0).path(np.array([1.5, 1.5, 1.5, 1.5, -2.0])).round(1)
    array([1. , 2. , 3. , 4. , 1.5])
    """

    allowance: float
    limit: float

    @classmethod
    def of(cls, run_length: float, inflation: float, error: float) -> "Cusum":
        """With so many windows between false alarms.

        Siegmund's (1985) approximation for a sum with the long-run variance of the effects.

        Args:
            run_length: windows, in the mean.
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
        """float64[n], the signed larger of both sums after each of n effects; NaN adds nothing."""
        up = down = 0.0
        path = np.empty(len(effects))
        full = _FULL * self.limit
        for i, effect in enumerate(np.clip(np.nan_to_num(effects), -_OUTLIER, _OUTLIER).tolist()):
            up = min(max(up + effect - self.allowance, 0.0), full)
            down = min(max(down - effect - self.allowance, 0.0), full)
            path[i] = up if up >= down else -down
        return path


def _run_length(drift: float, limit: float) -> float:
    """Mean windows to a one-sided false alarm, when each effect is normal with variance 1."""
    reach = 2 * drift * (limit + 1.166)
    if reach > 600:
        return math.inf
    return (math.exp(reach) - reach - 1) / (2 * drift**2)


def longest(settings: Monitors) -> WindowLength:
    """The longest windows that do not overlap; the longest of all when all of them do."""
    apart = [window for window in settings.windows if window.step == window.length]
    return max(apart or settings.windows, key=lambda window: window.length)


@dataclass(frozen=True)
class Sequential:
    """Judges the series of a version's windows, of the longest length that is configured.

    Attributes:
        settings: how the model is watched.
        calibrator: of the version's reference.
        version: whose predictions the windows hold.
    """

    settings: Monitors
    calibrator: Calibrator
    version: int = 0
    _sums: dict[str, Cusum | None] = field(default_factory=dict, compare=False)

    @property
    def length(self) -> WindowLength:
        """The windows whose effects are added up: the longest ones that do not overlap."""
        return longest(self.settings)

    @property
    def per_week(self) -> float:
        """How many effects are added up in a week: of sliding windows only those that end at whole
        multiples of their length count, as the reference's windows do."""
        return _WEEK / self.length.length

    @property
    def columns(self) -> list[str]:
        """The columns that have effects to add up."""
        binning = self.calibrator.reference.binning
        return [
            name
            for name in budget.watched(self.settings, binning)
            if takes(MONITORS[SOURCE], binning.by_name[name])
        ]

    @property
    def level(self) -> float:
        """The false-alarm rate of one column at each window."""
        allowed = self.settings.false_alarms_per_week * budget.SEQUENTIAL
        return allowed / (self.per_week * len(self.columns))

    def alerts(self, column: str) -> bool:
        """Whether the sums of a column may open incidents."""
        check = self.settings.checks.get(NAME)
        shown = check is not None and check.alert is False
        return budget.alerts(self.settings, MONITORS[SOURCE], column) and not shown

    def judge(self, window: Window, effects: Mapping[str, Floats]) -> list[Verdict]:
        """Fold the effects of all windows judged since the reference was set, up to and with this
        one.

        The verdicts depend on the effects alone, in the order of the windows' ends: a window that
        is judged again changes those after it, whenever it came.

        Args:
            window: the last one.
            effects: for each column the `effect` of its `location` verdicts in order of window
                end, of windows that do not overlap; NaN where a window was not judged.
        """
        del window
        return [self._column(name, effects[name]) for name in self.columns if name in effects]

    def cusum(self, column: str) -> Cusum | None:
        """The sums of a column; None while the reference has no windows of this length."""
        if column not in self._sums:
            self._sums[column] = self._made(column)
        return self._sums[column]

    def _made(self, column: str) -> Cusum | None:
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
            why = "the reference has no windows of this length: their variation is not known"
            return replace(empty, status="not_calibrated", detail=why)
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
