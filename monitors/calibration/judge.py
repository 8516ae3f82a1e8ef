"""From the profile of a window to its verdicts: every monitor on every column."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from driftline import names
from driftline.config.monitors import Monitors
from driftline.errors import SchemaError
from driftline.monitors.calibration import budget
from driftline.monitors.calibration.budget import HypothesisTest
from driftline.monitors.calibration.calibrator import Calibrator
from driftline.monitors.calibration.decisions import Decisions, finite
from driftline.monitors.calibration.reference import Reference
from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import Comparison, Monitor, applies_to
from driftline.monitors.windows.verdict import Status, Verdict, Window
from driftline.profile.profile import Profile

log = logging.getLogger(__name__)

_MIN_REFERENCE_ROWS = 50  # with fewer nothing is calibrated


@dataclass(frozen=True)
class Judge:
    """Judges the windows of one model version and segment.

    Attributes:
        settings: the model's monitoring config.
        reference: the reference of its windows.
        segment: "" for all rows.
        version: the model version of the predictions.
        monitors: by name.
        share: the share of the budget for all tests of columns.
    """

    settings: Monitors
    reference: Reference
    segment: str = names.ALL_ROWS
    version: int = 0
    monitors: Mapping[str, Monitor] = field(default_factory=lambda: MONITORS)
    share: float = budget.COLUMNS

    def judge(self, window: Window, current: Profile) -> list[Verdict]:
        """One verdict for each column and each monitor that applies to it.

        Parameters:
            window: length and end.
            current: its profile, with the reference's binning.
        """
        return [
            verdict for column in self.columns for verdict in self._column(window, current, column)
        ]

    @cached_property
    def columns(self) -> list[str]:
        """The tested columns."""
        return budget.monitored_columns(self.settings, self.reference.binning)

    @cached_property
    def calibrator(self) -> Calibrator:
        """The null distributions of the reference."""
        return Calibrator(self.settings, self.reference)

    @cached_property
    def levels(self) -> dict[HypothesisTest, float]:
        """The significance level of each test."""
        more = budget.multivariate_monitors(self.settings)
        binning = self.reference.binning
        return budget.significance_levels(self.settings, binning, self.monitors, more, self.share)

    def _column(self, window: Window, current: Profile, column: str) -> list[Verdict]:
        """A column or monitor that fails is shown as broken and does not stop the others."""
        bins = self.reference.binning.by_name[column]
        applicable = [monitor for monitor in self.monitors.values() if applies_to(monitor, bins)]
        verdicts = []
        try:
            counts, reference = self._counts(window, current, column)
        except Exception as error:
            log.exception("cannot read column %s", column)
            return [self._broken(column, monitor, error) for monitor in applicable]
        for monitor in applicable:
            try:
                verdicts.append(self._test(window.seconds, monitor, counts, reference))
            except Exception as error:
                log.exception("monitor %s of column %s failed", monitor.name, column)
                verdicts.append(self._broken(column, monitor, error))
        return verdicts

    def _counts(self, window: Window, current: Profile, column: str) -> tuple[Counts, Counts]:
        """The column in the window, and in the reference that it is compared with."""
        if current.binning != self.reference.binning:
            raise SchemaError(
                f"the window has binning {current.binning.id}, the reference has "
                f"{self.reference.binning.id}: set one of this version (driftline reference set)"
            )
        matching = self.settings.matching
        reference = self.reference.column(column, window.seconds, matching, window.end)
        return Counts.of(current, column), reference

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

    def _test(self, seconds: int, monitor: Monitor, current: Counts, reference: Counts) -> Verdict:
        column = current.bins.name
        status = self.untested(monitor, seconds, current, reference)[0]
        verdict = Verdict(
            monitor.name,
            monitor.family,
            column,
            status or "no_data",
            int(current.rows[0]),
            alerts=budget.alerts(self.settings, monitor, column),
            segment=self.segment,
            version=self.version,
        )
        if status == "no_data":
            return verdict
        if status == "insufficient":
            size, needed = float(monitor.sizes(current)[0]), self._min_rows(seconds)
            few = f"{size:,.0f} rows with a value, {needed:,} are needed"
            if size >= needed:
                few = "no values in the reference"
            return replace(verdict, detail=few if size else "no values")
        description = monitor.describe(current, reference)
        if status == "not_calibrated":
            few = f"the reference has only {monitor.sizes(reference)[0]:,.0f} rows; {description}"
            return replace(_with_values(verdict, monitor.compare(current, reference)), detail=few)
        decisions = self.decide(monitor, seconds, current, reference)
        verdict = replace(verdict, detail=description)
        return self._with_decision(verdict, monitor, decisions, reference)

    def untested(
        self, monitor: Monitor, seconds: int, current: Counts, reference: Counts
    ) -> list[Status | None]:
        """The status of each window that cannot be tested; None where it can."""
        min_rows, reference_rows = self._min_rows(seconds), float(monitor.sizes(reference)[0])

        def status(rows: float, size: float) -> Status | None:
            if not rows:
                return "no_data"
            if size < min_rows or not reference_rows:
                return "insufficient"
            return "not_calibrated" if reference_rows < _MIN_REFERENCE_ROWS else None

        return [*map(status, current.rows.tolist(), monitor.sizes(current).tolist())]

    def decide(
        self, monitor: Monitor, seconds: int, windows: Counts, reference: Counts
    ) -> Decisions:
        """Test windows that have enough rows; all of them in one call."""
        observed = compared = monitor.compare(windows, reference)
        test = HypothesisTest(monitor.name, windows.bins.name, self.segment, seconds)
        level, sizes = self.levels.get(test), monitor.sizes(windows)
        nulls = [
            self.calibrator.null(monitor, test, size, df, level or 1.0)
            for size, df in zip(sizes.tolist(), observed.df.tolist(), strict=True)
        ]
        max_sizes = np.array([np.inf if null is None else null.size for null in nulls])
        if (sizes > max_sizes * (1 + 1e-9)).any():
            windows = windows.scaled(np.minimum(max_sizes / sizes, 1.0))
            compared = monitor.compare(windows, reference)
            nulls = [
                None if null is None else null.resized(null.size, df)
                for null, df in zip(nulls, compared.df.tolist(), strict=True)
            ]
        check = self.settings.checks.get(monitor.name)
        fixed = None if check is None else check.threshold
        alerts = budget.alerts(self.settings, monitor, test.column)
        return Decisions(observed, compared, windows, nulls, level, alerts, fixed)

    def _with_decision(
        self, verdict: Verdict, monitor: Monitor, decisions: Decisions, reference: Counts
    ) -> Verdict:
        """The verdict with the decision on the only window that was tested."""
        null, level = decisions.nulls[0], decisions.level
        verdict = replace(verdict, status=decisions.statuses[0])
        if decisions.fixed is not None:
            # the effect is stored too: slow drift sums it
            verdict = replace(verdict, effect=decisions.effects[0], threshold=decisions.fixed)
            return _with_values(verdict, decisions.observed)
        verdict = _with_values(verdict, decisions.compared)
        if null is None:
            return verdict
        if level is not None:
            threshold = monitor.value_at(null.threshold(level), decisions.windows, reference)
            verdict = replace(verdict, level=level, threshold=threshold)
        if verdict.status == "not_calibrated":
            reason = (
                f"; significance level {level:.1g} not attainable, at best {null.attainable:.1g} "
                f"with {null.blocks:.0f} effective windows of the reference: use longer windows or "
                "a longer reference"
            )
            verdict = replace(verdict, detail=verdict.detail + reason)
        return replace(
            verdict,
            p_value=decisions.p_values[0],
            effect=decisions.effects[0],
            provisional=null.basis == "declared",
        )

    def _min_rows(self, seconds: int) -> int:
        lengths = {length.seconds: length.min_rows for length in self.settings.windows}
        return lengths.get(seconds, 1)


def _with_values(verdict: Verdict, comparison: Comparison) -> Verdict:
    value, expected = float(comparison.value[0]), float(comparison.expected[0])
    return replace(verdict, value=finite(value), expected=finite(expected))
