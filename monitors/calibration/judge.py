"""From the profile of a window to its verdicts: every column, every monitor."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from driftline import names
from driftline.config.monitors import Monitors
from driftline.errors import SchemaError
from driftline.monitors.calibration import budget
from driftline.monitors.calibration.budget import Look
from driftline.monitors.calibration.calibrator import Calibrator
from driftline.monitors.calibration.decisions import Decisions, finite
from driftline.monitors.calibration.reference import Reference
from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import Comparison, Monitor, takes
from driftline.monitors.windows.verdict import Status, Verdict, Window
from driftline.profile.profile import Profile

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
        bins = self.reference.binning.by_name[column]
        fitting = [monitor for monitor in self.monitors.values() if takes(monitor, bins)]
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
        status = self.untested(monitor, window.seconds, now, before)[0]
        verdict = Verdict(
            monitor.name,
            monitor.family,
            column,
            status or "no_data",
            int(now.rows[0]),
            alerts=budget.alerts(self.settings, monitor, column),
            segment=self.segment,
            version=self.version,
        )
        if status == "no_data":
            return verdict
        if status == "insufficient":
            size, needed = float(monitor.sizes(now)[0]), self._min_rows(window.seconds)
            few = f"{size:,.0f} rows with a value, {needed:,} are needed"
            none = "reference has none" if size else "no values"
            return replace(verdict, detail=few if size else none)
        said = monitor.describe(now, before)
        if status == "not_calibrated":
            few = f"the reference has only {monitor.sizes(before)[0]:,.0f} rows; {said}"
            return replace(_numbers(verdict, monitor.compare(now, before)), detail=few)
        decided = self.decide(monitor, window.seconds, now, before)
        return self._of_decision(replace(verdict, detail=said), monitor, decided, before)

    def untested(
        self, monitor: Monitor, seconds: int, now: Counts, before: Counts
    ) -> list[Status | None]:
        """Why each window is not tested; None where it is."""
        fewest, known = self._min_rows(seconds), float(monitor.sizes(before)[0])

        def why(rows: float, size: float) -> Status | None:
            if not rows:
                return "no_data"
            if size < fewest or not known:
                return "insufficient"
            return "not_calibrated" if known < _FEWEST else None

        return [*map(why, now.rows.tolist(), monitor.sizes(now).tolist())]

    def decide(self, monitor: Monitor, seconds: int, now: Counts, before: Counts) -> Decisions:
        """Test windows that have enough rows; all of them in one call."""
        found = compared = monitor.compare(now, before)
        look = Look(monitor.name, now.bins.name, self.segment, seconds)
        level, sizes = self.levels.get(look), monitor.sizes(now)
        nulls = [
            self.calibrator.null(monitor, look, size, df, level or 1.0)
            for size, df in zip(sizes.tolist(), found.df.tolist(), strict=True)
        ]
        reach = np.array([np.inf if null is None else null.size for null in nulls])
        if (sizes > reach * (1 + 1e-9)).any():
            now = now.scaled(np.minimum(reach / sizes, 1.0))
            compared = monitor.compare(now, before)
            nulls = [
                None if null is None else null.resized(null.size, df)
                for null, df in zip(nulls, compared.df.tolist(), strict=True)
            ]
        check = self.settings.checks.get(monitor.name)
        fixed = None if check is None else check.threshold
        alerts = budget.alerts(self.settings, monitor, look.column)
        return Decisions(found, compared, now, nulls, level, alerts, fixed)

    def _of_decision(
        self, verdict: Verdict, monitor: Monitor, decided: Decisions, before: Counts
    ) -> Verdict:
        """What is said of the only window that was tested."""
        null, level = decided.nulls[0], decided.level
        verdict = replace(verdict, status=decided.statuses[0])
        if decided.fixed is not None:
            # slow drift adds up the effects, whatever alarms
            verdict = replace(verdict, effect=decided.effects[0], threshold=decided.fixed)
            return _numbers(verdict, decided.found)
        verdict = _numbers(verdict, decided.compared)
        if null is None:
            return verdict
        if level is not None:
            at = monitor.value_at(null.threshold(level), decided.windows, before)
            verdict = replace(verdict, level=level, threshold=at)
        if verdict.status == "not_calibrated":
            lacking = (
                f"; a level of {level:.1g} is wanted, {null.blocks:.0f} effective windows of "
                f"the reference support {null.attainable:.1g}: lengthen the windows, or the "
                "reference"
            )
            verdict = replace(verdict, detail=verdict.detail + lacking)
        return replace(
            verdict,
            p_value=decided.p_values[0],
            effect=decided.effects[0],
            provisional=null.basis == "declared",
        )

    def _min_rows(self, seconds: int) -> int:
        lengths = {length.seconds: length.min_rows for length in self.settings.windows}
        return lengths.get(seconds, 1)


def _numbers(verdict: Verdict, found: Comparison) -> Verdict:
    return replace(
        verdict, value=finite(float(found.value[0])), expected=finite(float(found.expected[0]))
    )
