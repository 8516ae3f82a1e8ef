"""Measure windows by their delayed labels: when they end, and whenever their age has doubled.

The revision of a stored verdict is the age at which its window was measured, so a runner that is
killed loses nothing. The number of windows that are measured again does not depend on traffic, and
measuring one reads a bounded sample of its events.
"""

import logging
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import psycopg
import pyarrow as pa

from driftline import names
from driftline.config import Metric, Model
from driftline.config.monitors import LABELS, WindowLength
from driftline.monitors.calibration import budget
from driftline.monitors.performance import realised
from driftline.monitors.performance.measured import NotMeasurableError, measure
from driftline.monitors.windows import schedule
from driftline.monitors.windows.judged_window import JudgedWindow, row
from driftline.monitors.windows.verdict import Verdict, Window
from driftline.profile.binning import Floats
from driftline.storage.connection import Connection
from driftline.storage.monitoring import accepted_levels, judged_windows, verdicts, window_sample
from driftline.storage.monitoring.accepted_levels import AcceptedLevel
from driftline.storage.monitoring.judged_windows import Judged
from driftline.storage.monitoring.verdicts import PastVerdict
from driftline.wording import counted

log = logging.getLogger(__name__)

_AT_ONCE = 64  # windows that one transaction measures again, at most
_INSTANT = timedelta(microseconds=1)  # `between` excludes its end
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Measurement(NamedTuple):
    """A window that must be measured, at one of its ages.

    Attributes:
        age: index of the age; the revision of the verdict.
    """

    window: Judged
    age: int
    again: bool
    final: bool


class _Series(NamedTuple):
    """The windows of one length: their verdicts by end, and the levels that people accepted."""

    metric: Metric
    length: WindowLength
    past: dict[datetime, PastVerdict]
    levels: Sequence[AcceptedLevel]


class LateLabels:
    """Measures the windows of one model against their labels.

    Parameters:
        name: the model's name in the config.
        model: its section.

    Attributes:
        more: whether the last call left windows that are due.
    """

    def __init__(self, name: str, model: Model) -> None:
        self._name = name
        self._model = model
        self._settings = model.monitors.performance
        self.more = False

    def judge(
        self,
        connection: Connection,
        clock: datetime | None,
        judged: Sequence[JudgedWindow],
        *,
        ended: bool = False,
        live: bool = True,
    ) -> list[JudgedWindow]:
        """Measure the windows that are due, and store the verdicts, in the caller's transaction.

        Parameters:
            clock: the time by which windows age.
            judged: windows that were judged just now.
            ended: no more labels will arrive: every window is measured for the last time.
            live: whether a runner calls, which alerts on the verdicts, and also measures windows
                judged earlier; a backfill measures those in `judged` that no runner will.
        """
        self.more = False
        metric = self._model.metric
        if metric is None or clock is None:
            return []
        measured: list[JudgedWindow] = []
        for length in self._model.monitors.windows:
            windows = [window for window in judged if window.length.seconds == length.seconds]
            due = self._due(connection, metric, length, clock, windows, ended=ended, live=live)
            if due:
                measured += self._measure(connection, metric, length, due)
        return measured

    def _due(
        self,
        connection: Connection,
        metric: Metric,
        length: WindowLength,
        clock: datetime,
        judged: Sequence[JudgedWindow],
        *,
        ended: bool,
        live: bool,
    ) -> list[_Measurement]:
        """Windows that have reached an age at which they were not measured yet.

        Those missed while no runner was running are found up to twice `max_label_delay` back.
        """
        ages = self._settings.measurement_ages(length.length)
        oldest_awaited = clock - 2 * self._settings.max_label_delay
        judged_ends = {window.end for window in judged}
        # a backfill that measured a window before the runner did has notified nobody
        again = {window.end for window in judged if live and window.revised and window.may_open}
        since = min([oldest_awaited, *judged_ends])
        revisions = verdicts.revisions(
            connection, self._name, length.seconds, realised.name(metric), since=since
        )
        if not live:
            # a final measurement is repeated: the settings may have changed
            again |= {end for end in judged_ends if revisions.get(end) == len(ages) - 1}
        due = []
        for window in judged_windows.between(
            connection, self._name, length.seconds, since, clock + _INSTANT
        ):
            reached = len(ages) if ended else bisect_right(ages, clock - window.end)
            revision = -1 if window.end in again else revisions.get(window.end, -1)
            if window.rows and reached - 1 > revision:
                repeated, final = window.end in revisions, reached == len(ages)
                due.append(_Measurement(window, reached - 1, repeated, final))
        current = [item for item in due if item.window.end in judged_ends]
        if not live:
            return [
                item
                for item in current
                if not item.window.live
                or item.window.end < oldest_awaited
                or item.window.end in again
            ]
        older = [item for item in due if item.window.end not in judged_ends]
        self.more |= len(older) > _AT_ONCE
        return sorted(current + older[:_AT_ONCE], key=lambda item: item.window.end)

    def _measure(
        self, connection: Connection, metric: Metric, length: WindowLength, due: list[_Measurement]
    ) -> list[JudgedWindow]:
        monitor = realised.name(metric)
        stored = verdicts.past_verdicts(
            connection, self._name, length.seconds, monitor, since=_EPOCH, until=due[-1].window.end
        )
        series = _Series(
            metric,
            length,
            {past.end: past for past in stored.get((names.SCORE, names.ALL_ROWS), ())},
            accepted_levels.levels(connection, self._name, "performance"),
        )
        measured = []
        for item in due:
            verdict = self._isolated(connection, series, item)
            end = item.window.end
            series.past[end] = PastVerdict(
                *(end, verdict.version, verdict.status, verdict.rows),
                *(verdict.value, verdict.effect, verdict.p_value),
            )
            verdicts.write_monitor(
                connection,
                self._name,
                length.seconds,
                end,
                [row(verdict)],
                monitor=monitor,
                revision=item.age,
            )
            rows, windows = item.window.rows, schedule.from_config(length)
            measured.append(JudgedWindow(end, windows, rows, True, item.again, [verdict]))
        return measured

    def _isolated(self, connection: Connection, series: _Series, item: _Measurement) -> Verdict:
        """A window that cannot be measured is shown as broken and does not stop the others."""
        try:
            return self._judge(connection, series, item)
        except psycopg.Error:
            raise
        except Exception as error:
            end = item.window.end
            log.exception("model %s: measuring performance at %s failed", self._name, end)
            detail = f"{type(error).__name__}: {error}"
            return Verdict(
                realised.name(series.metric), "performance", names.SCORE, "broken", 0, detail=detail
            )

    def _judge(self, connection: Connection, series: _Series, item: _Measurement) -> Verdict:
        end = item.window.end
        window = Window(series.length.seconds, end)
        version, events, label, score = self._labelled(connection, window)
        insufficient = Verdict(
            realised.name(series.metric),
            "performance",
            names.SCORE,
            "insufficient" if len(label) else "no_data",
            len(label),
            alerts=False,  # its labels are delayed: older windows decide the state of the family
            version=version,
        )
        if len(label) < self._settings.min_labels:
            needed = self._settings.min_labels
            detail = f"{counted(len(label), 'label')}, at least {needed:,} needed"
            return replace(insufficient, detail=detail)
        try:
            measured = measure(series.metric, label, score)
        except NotMeasurableError as error:
            return replace(insufficient, detail=str(error))
        if not item.final and len(label) < self._settings.label_coverage * events:
            detail = f"{measured}; labels received for {len(label):,} of {events:,} events"
            low, high = measured.interval
            return replace(insufficient, value=measured.value, detail=detail, low=low, high=high)
        earlier = [
            past for at, past in sorted(series.past.items()) if at < end and past.version == version
        ]
        level = accepted_levels.latest_before(series.levels, end)
        baseline = realised.baseline(earlier, self._settings.baseline, level)
        rate = budget.performance_level(self._model.monitors, series.length)
        verdict = realised.judge(measured, baseline, rate, version)
        if self._settings.alert:
            return verdict
        return replace(verdict, alerts=False, level=None, status="shown")

    def _labelled(self, connection: Connection, window: Window) -> tuple[int, int, Floats, Floats]:
        """The version that scored most, its events, and label and score of those with both."""
        sample = window_sample.read(
            connection,
            self._name,
            window.start,
            window.end,
            rows=LABELS,
            features=False,
            labelled=True,
            labels_until=window.end + self._settings.max_label_delay,
        )
        if not len(sample):
            return 0, 0, np.empty(0), np.empty(0)
        versions = sample["model_version"].to_numpy()
        version = int(np.bincount(versions).argmax())
        own = sample.filter(pa.array(versions == version))
        return version, len(own), *window_sample.scored(own)
