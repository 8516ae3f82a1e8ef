"""Windows are measured as their labels come: at once, and again whenever their age has doubled.

What was measured when follows from the verdicts that are stored: their revision says at which age,
so a runner that is killed has lost nothing. How many windows are looked at again does not depend on
traffic, and a look at one reads a bounded sample of its events.
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
from driftline.monitors.windows.judged_window import Fresh, row
from driftline.monitors.windows.verdict import Verdict, Window
from driftline.profile.binning import Floats
from driftline.storage.connection import Connection
from driftline.storage.monitoring import accepted_levels, judged_windows, verdicts, window_sample
from driftline.storage.monitoring.accepted_levels import Level
from driftline.storage.monitoring.judged_windows import Judged
from driftline.storage.monitoring.verdicts import Past
from driftline.wording import counted

log = logging.getLogger(__name__)

_AT_ONCE = 64  # windows that one transaction measures again, at most
_SINCE = datetime(1970, 1, 1, tzinfo=UTC)


class _Look(NamedTuple):
    """A window that is to be measured, at which of its ages."""

    one: Judged
    age: int
    again: bool
    final: bool


class _History(NamedTuple):
    """What was said of the windows of a length, by end, and the levels that people accepted."""

    past: dict[datetime, Past]
    levels: Sequence[Level]


class LateTruth:
    """Measures the windows of one model against their labels.

    Parameters:
        name: the model's name in the config.
        model: its section.

    Attributes:
        more: windows wait that were not measured in the last call.
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
        fresh: Sequence[Fresh],
        *,
        ended: bool = False,
        live: bool = True,
    ) -> list[Fresh]:
        """Measure what is due, and store it, in the caller's transaction.

        Parameters:
            clock: the time by which windows age.
            fresh: windows that were judged just now.
            ended: no more labels will come: every window is measured for the last time.
            live: a runner's, which alerts on what is found, and also measures windows that were
                judged before; a backfill measures of those now judged what no runner will.
        """
        self.more = False
        metric = self._model.metric
        if metric is None or clock is None:
            return []
        found: list[Fresh] = []
        for length in self._model.monitors.windows:
            mine = [one for one in fresh if one.length.seconds == length.seconds]
            looks = self._due(connection, metric, length, clock, mine, ended=ended, live=live)
            if looks:
                found += self._measure(connection, metric, length, looks)
        return found

    def _due(
        self,
        connection: Connection,
        metric: Metric,
        length: WindowLength,
        clock: datetime,
        fresh: Sequence[Fresh],
        *,
        ended: bool,
        live: bool,
    ) -> list[_Look]:
        """Windows that have come to an age at which they were not measured yet.

        Those that a runner missed while it was away are looked for as far back as `within`, twice.
        """
        ages = self._settings.looks(length.length)
        awaited = clock - 2 * self._settings.within
        mine = {one.end for one in fresh}
        # what a backfill measured before the runner came to it has alerted nobody
        anew = {one.end for one in fresh if live and one.revised and one.may_open}
        floor = min([awaited, *mine])
        said = verdicts.revisions(
            connection, self._name, length.seconds, realised.name(metric), since=floor
        )
        if not live:
            # what was measured for the last time is measured again: the settings may have changed
            anew |= {end for end in mine if said.get(end) == len(ages) - 1}
        looks = []
        for one in judged_windows.between(
            connection, self._name, length.seconds, floor, _after(clock)
        ):
            passed = len(ages) if ended else bisect_right(ages, clock - one.end)
            known = -1 if one.end in anew else said.get(one.end, -1)
            if one.rows and passed - 1 > known:
                looks.append(_Look(one, passed - 1, one.end in said, passed == len(ages)))
        first = [look for look in looks if look.one.end in mine]
        if not live:
            return [
                look
                for look in first
                if not look.one.live or look.one.end < awaited or look.one.end in anew
            ]
        rest = [look for look in looks if look.one.end not in mine]
        self.more |= len(rest) > _AT_ONCE
        return sorted(first + rest[:_AT_ONCE], key=lambda look: look.one.end)

    def _measure(
        self, connection: Connection, metric: Metric, length: WindowLength, looks: list[_Look]
    ) -> list[Fresh]:
        monitor = realised.name(metric)
        series = verdicts.past(
            connection, self._name, length.seconds, monitor, since=_SINCE, until=looks[-1].one.end
        )
        history = _History(
            {one.end: one for one in series.get((names.SCORE, names.ALL_ROWS), ())},
            accepted_levels.levels(connection, self._name, "performance"),
        )
        found = []
        for look in looks:
            verdict = self._isolated(connection, metric, length, look, history)
            end = look.one.end
            history.past[end] = Past(
                *(end, verdict.version, verdict.status, verdict.rows),
                *(verdict.value, verdict.effect, verdict.p_value),
            )
            verdicts.say(
                connection,
                self._name,
                length.seconds,
                end,
                [row(verdict)],
                monitor=monitor,
                revision=look.age,
            )
            found.append(
                Fresh(end, schedule.of(length), look.one.rows, True, look.again, [verdict])
            )
        return found

    def _isolated(
        self,
        connection: Connection,
        metric: Metric,
        length: WindowLength,
        look: _Look,
        history: _History,
    ) -> Verdict:
        """A window that can't be measured is shown as broken and stops no other."""
        try:
            return self._judged(connection, metric, length, look, history)
        except psycopg.Error:
            raise
        except Exception as error:
            log.exception(
                "performance of model %s can't be measured at %s", self._name, look.one.end
            )
            detail = f"{type(error).__name__}: {error}"
            return Verdict(
                realised.name(metric), "performance", names.SCORE, "broken", 0, detail=detail
            )

    def _judged(
        self,
        connection: Connection,
        metric: Metric,
        length: WindowLength,
        look: _Look,
        history: _History,
    ) -> Verdict:
        end = look.one.end
        window = Window(length.seconds, end)
        version, events, label, score = self._labelled(connection, window)
        few = Verdict(
            realised.name(metric),
            "performance",
            names.SCORE,
            "insufficient" if len(label) else "no_data",
            len(label),
            alerts=False,  # its labels come later: the family's state is that of older windows
            version=version,
        )
        if len(label) < self._settings.min_labels:
            what = f"{counted(len(label), 'label')}, {self._settings.min_labels:,} are needed"
            return replace(few, detail=what)
        try:
            found = measure(metric, label, score)
        except NotMeasurableError as error:
            return replace(few, detail=str(error))
        if not look.final and len(label) < self._settings.coverage * events:
            what = f"{found}; {len(label):,} of {events:,} labels have come"
            low, high = found.interval
            return replace(few, value=found.value, detail=what, low=low, high=high)
        before = sorted(history.past.items())
        earlier = [one for at, one in before if at < end and one.version == version]
        level = accepted_levels.before(history.levels, end)
        first = realised.baseline(earlier, self._settings.baseline, level)
        rate = budget.performance(self._model.monitors, length)
        verdict = realised.judge(found, first, rate, version)
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
            known=window.end + self._settings.within,
        )
        if not len(sample):
            return 0, 0, np.empty(0), np.empty(0)
        versions = sample["model_version"].to_numpy()
        version = int(np.bincount(versions).argmax())
        own = sample.filter(pa.array(versions == version))
        return version, len(own), *window_sample.scored(own)


def _after(clock: datetime) -> datetime:
    """`between` leaves its end out."""
    return clock + timedelta(microseconds=1)
