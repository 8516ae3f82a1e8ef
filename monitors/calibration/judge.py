"""From the profile of a window to its verdicts: every column, every monitor."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from driftline import names
from driftline.errors import SchemaError
from driftline.monitoring import Monitors
from driftline.profile.profile import Profile
from monitors.calibration import budget
from monitors.calibration.budget import Look
from monitors.calibration.calibrator import Calibrator
from monitors.calibration.null import Null
from monitors.calibration.reference import Reference
from monitors.catalogue import MONITORS
from monitors.columns.counts import Counts
from monitors.columns.monitor import Comparison, Monitor
from monitors.verdict import Status, Verdict, Window

log = logging.getLogger(__name__)

_FEWEST = 50  # rows of a reference, below which nothing is judged


@dataclass(frozen=True)
class Judge:
    """Judges the windows of one model version and segment.

    Attributes:
        settings: how the model is watched.
        reference: what its windows are compared with.
        segment: "" for all rows.
        version: whose predictions the windows hold.
        monitors: by name.
        share: of the budget, for all looks at columns.
    """

    settings: Monitors
    reference: Reference
    segment: str = names.ALL_ROWS
    version: int = 0
    monitors: Mapping[str, Monitor] = field(default_factory=lambda: MONITORS)
    share: float = budget.COLUMNS

    def judge(self, window: Window, current: Profile) -> list[Verdict]:
        """One verdict for each column and monitor that fit.

        Args:
            window: which window.
            current: its profile, of the reference's binning.
        """
        return [
            verdict for column in self.columns for verdict in self._column(window, current, column)
        ]

    @cached_property
    def columns(self) -> list[str]:
        """The columns that are judged."""
        return budget.watched(self.settings, self.reference.binning)

    @cached_property
    def calibrator(self) -> Calibrator:
        """The laws of the reference."""
        return Calibrator(self.settings, self.reference)

    @cached_property
    def levels(self) -> dict[Look, float]:
        """The false-alarm rate of each look."""
        more = budget.whole(self.settings)
        binning = self.reference.binning
        return budget.levels(self.settings, binning, self.monitors, more, self.share)

    def _column(self, window: Window, current: Profile, column: str) -> list[Verdict]:
        """One failing column or monitor is shown as broken and stops no other."""
        kind = self.reference.binning.by_name[column].kind
        fitting = [monitor for monitor in self.monitors.values() if kind in monitor.kinds]
        verdicts = []
        try:
            now, before = self._pair(window, current, column)
        except Exception as error:
            log.exception("column %s can't be read", column)
            return [self._broken(column, monitor, error) for monitor in fitting]
        for monitor in fitting:
            try:
                verdicts.append(self._look(window, monitor, now, before))
            except Exception as error:
                log.exception("monitor %s of column %s failed", monitor.name, column)
                verdicts.append(self._broken(column, monitor, error))
        return verdicts

    def _pair(self, window: Window, current: Profile, column: str) -> tuple[Counts, Counts]:
        """The column of the window, and what it is compared with."""
        if current.binning != self.reference.binning:
            raise SchemaError(
                f"the window is of binning {current.binning.id}, the reference of "
                f"{self.reference.binning.id}: set one of this version (driftline reference set)"
            )
        matching = self.settings.matching
        before = self.reference.column(column, window.seconds, matching, window.end)
        return Counts.of(current, column), before

    def _broken(self, column: str, monitor: Monitor, error: Exception) -> Verdict:
        return Verdict(
            monitor.name,
            monitor.family,
            column,
            "broken",
            0,
            alerts=budget.alerts(self.settings, monitor, column),
            detail=f"{type(error).__name__}: {error}",
            segment=self.segment,
            version=self.version,
        )

    def _look(self, window: Window, monitor: Monitor, now: Counts, before: Counts) -> Verdict:
        column = now.bins.name
        empty = Verdict(
            monitor.name,
            monitor.family,
            column,
            "no_data",
            int(now.rows[0]),
            alerts=budget.alerts(self.settings, monitor, column),
            segment=self.segment,
            version=self.version,
        )
        if now.rows[0] == 0:
            return empty
        size = float(monitor.sizes(now)[0])
        if size < self._min_rows(window) or not monitor.sizes(before)[0]:
            what = "reference has none" if size else "no values"
            few = f"{size:,.0f} rows with a value, {self._min_rows(window):,} are needed"
            return replace(empty, status="insufficient", detail=few if size else what)
        verdict = replace(empty, detail=monitor.describe(now, before))
        if monitor.sizes(before)[0] < _FEWEST:
            few = f"the reference has only {monitor.sizes(before)[0]:,.0f} rows; {verdict.detail}"
            found = monitor.compare(now, before)
            return replace(_numbers(verdict, found), status="not_calibrated", detail=few)
        return self._judged(verdict, monitor, window, now, before)

    def _judged(
        self, verdict: Verdict, monitor: Monitor, window: Window, now: Counts, before: Counts
    ) -> Verdict:
        found = compared = monitor.compare(now, before)
        look = Look(monitor.name, verdict.column, self.segment, window.seconds)
        level = self.levels.get(look)
        size, df = float(monitor.sizes(now)[0]), float(found.df[0])
        null = self.calibrator.null(monitor, look, size, df, level or 1.0)
        if null is not None and size > null.size * (1 + 1e-9):
            now = now.scaled(np.array([null.size / size]))
            compared = monitor.compare(now, before)
        check = self.settings.checks.get(monitor.name)
        if check is not None and check.threshold is not None:
            # slow drift adds up the effects, whatever alarms
            verdict = replace(verdict, effect=_effect(null, compared))
            return _fixed(verdict, found, check.threshold)
        if null is None:
            status: Status = "not_calibrated" if verdict.alerts else "shown"
            return replace(_numbers(verdict, found), status=status)
        if level is not None:
            at = monitor.value_at(null.threshold(level), now, before)
            verdict = replace(verdict, level=level, threshold=at)
        return _against(null, compared, verdict)

    def _min_rows(self, window: Window) -> int:
        lengths = {length.seconds: length.min_rows for length in self.settings.windows}
        return lengths.get(window.seconds, 1)


def _numbers(verdict: Verdict, found: Comparison) -> Verdict:
    return replace(verdict, value=_finite(found.value[0]), expected=_finite(found.expected[0]))


def _fixed(verdict: Verdict, found: Comparison, threshold: float) -> Verdict:
    status: Status = "alarm" if abs(found.value[0]) > threshold else "ok"
    status = status if verdict.alerts else "shown"
    return replace(_numbers(verdict, found), threshold=threshold, status=status)


def _effect(null: Null | None, found: Comparison) -> float | None:
    """In standard deviations of what is usual, signed."""
    if null is None:
        return None
    direction = float(found.sign[0]) or 1.0
    return _finite(direction * math.sqrt(max(float(found.statistic[0]), 0.0) / null.scale))


def _against(null: Null, found: Comparison, verdict: Verdict) -> Verdict:
    p = float(null.p_value(float(found.statistic[0])))
    status, detail = _status(p, verdict.level, null), verdict.detail
    if status == "not_calibrated":
        detail += (
            f"; a level of {verdict.level:.1g} is wanted, {null.blocks:.0f} effective windows of "
            f"the reference support {null.attainable:.1g}: lengthen the windows, or the reference"
        )
    return replace(
        verdict,
        value=_finite(found.value[0]),
        expected=_finite(found.expected[0]),
        p_value=_finite(p),
        effect=_effect(null, found),
        provisional=null.basis == "declared",
        status=status,
        detail=detail,
    )


def _status(p: float, level: float | None, null: Null) -> Status:
    if level is None:
        return "shown"
    if null.attainable > level:
        return "not_calibrated"
    return "alarm" if p <= level else "ok"


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
