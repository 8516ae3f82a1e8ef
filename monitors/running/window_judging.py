"""Judge the windows of one model, and store the results."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import get_args

import psycopg

from driftline import names
from driftline.config import Metric, Model
from driftline.config.monitors import PIPELINE
from driftline.monitors.calibration import budget
from driftline.monitors.calibration.budget import HypothesisTest
from driftline.monitors.calibration.judges import Judges, NoReferenceError
from driftline.monitors.performance import realised
from driftline.monitors.raw_rows.row_monitors import RawMonitors
from driftline.monitors.references import burn_in
from driftline.monitors.running import slow_drift
from driftline.monitors.running.due_windows import Due, DueWindows
from driftline.monitors.running.estimates import Estimates
from driftline.monitors.running.hour_sums import MIN_WINDOW
from driftline.monitors.running.window_stats import stats
from driftline.monitors.stream import latency, seasonal_volume, side_by_side
from driftline.monitors.stream.series import by_length
from driftline.monitors.windows import schedule
from driftline.monitors.windows.judged_window import JudgedWindow, row
from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Verdict, Window
from driftline.profile.profile import Profile
from driftline.profile.trimmed import trim
from driftline.storage.connection import Connection
from driftline.storage.monitoring import judged_windows, verdicts
from driftline.storage.monitoring.judged_windows import Judged, Stat
from driftline.storage.profiles import binnings, hours, windows
from driftline.storage.profiles.profile_rows import ProfileRow
from driftline.storage.profiles.windows import Part

log = logging.getLogger(__name__)

# Monitors whose verdicts do not come from the window alone: a revision keeps them.
_KEPT_MONITORS = (
    *("volume", "no_traffic", "rejected", "registry", "slow_drift", "version_against_version"),
    *map(realised.name, get_args(Metric)),
)

Parts = dict[Part, Profile]


@dataclass(frozen=True)
class WindowResult:
    """The result of judging one window.

    Attributes:
        rows: predictions that were published.
        verdicts: on the window alone.
        stats: what the window contained.
        pairs: comparisons of versions, to be judged by those of earlier windows.
    """

    rows: int = 0
    verdicts: Sequence[Verdict] = ()
    stats: Sequence[Stat] = ()
    pairs: Sequence[Verdict] = ()


class WindowJudge:
    """Judges the windows of one model.

    Parameters:
        name: the model's name in the config.
        model: its section.
    """

    def __init__(self, name: str, model: Model) -> None:
        self.name = name
        self.settings = model.monitors
        self.lengths = schedule.lengths(model)
        self.due_windows = DueWindows(name, model)
        self.judges = Judges(name, model)
        self._burn_in_checked: datetime | None = None
        self._raw = RawMonitors(name, model.monitors)
        self._estimates = Estimates(name, model)

    def judge(self, connection: Connection, due: Due) -> list[JudgedWindow]:
        """Judge windows and store the results, in the caller's transaction."""
        if due.clock is not None and burn_in.is_due(self._burn_in_checked, due.clock):
            burn_in.replace(connection, self.name, self.settings, due.clock)
            self._burn_in_checked = due.clock
        self.judges.refresh(connection)
        previous = self._judged_before(connection, due.windows)
        if due.clock is not None:
            for length in self.lengths:
                passed = due.clock - self.settings.lateness
                judged_windows.mark_final(connection, self.name, length.seconds, passed)
        judged = []
        for end, length in due.windows:
            key = end, length.seconds
            final = due.clock is None or end + self.settings.lateness <= due.clock
            judged.append(
                self._judge_window(
                    connection,
                    end,
                    length,
                    previous.get(key),
                    final=final,
                    opens=key in due.opening,
                )
            )
        # these compare windows with earlier ones, so the windows must be stored first
        series = (
            *(
                by_length(judged, partial(judge, connection, self.name, self.settings))
                for judge in (seasonal_volume.judge, side_by_side.judge)
            ),
            slow_drift.judge(connection, self.name, self.judges, judged),
        )
        self.judges.store_nulls(connection)
        return [_add_verdicts(window, series) for window in judged]

    def _judged_before(
        self, connection: Connection, due: Iterable[tuple[datetime, Length]]
    ) -> dict[tuple[datetime, int], Judged]:
        ends_of: dict[int, list[datetime]] = {}
        for end, length in due:
            ends_of.setdefault(length.seconds, []).append(end)
        return {
            (end, seconds): judged
            for seconds, ends in ends_of.items()
            for end, judged in judged_windows.read(connection, self.name, seconds, ends).items()
        }

    def _judge_window(
        self,
        connection: Connection,
        end: datetime,
        length: Length,
        previous: Judged | None,
        *,
        final: bool,
        opens: bool,
    ) -> JudgedWindow:
        window = Window(length.seconds, end)
        revision = 0 if previous is None else previous.revision + 1
        try:
            result = self._evaluate(connection, window, length)
        except psycopg.Error:
            raise
        except Exception as error:  # a window that fails must not stop the others
            log.exception("model %s: judging %s failed", self.name, window)
            result = WindowResult(verdicts=[_broken("window", error)])
        judged_windows.write(
            connection,
            self.name,
            length.seconds,
            Judged(
                end,
                revision,
                result.rows,
                final or (previous is not None and previous.final),
                opens or (previous is not None and previous.live),
            ),
            result.stats,
        )
        verdicts.write(
            connection,
            self.name,
            length.seconds,
            end,
            map(row, result.verdicts),
            revision=revision,
            keep_monitors=_KEPT_MONITORS,
        )
        may_open = opens or (previous is not None and not previous.final)
        revised = previous is not None
        return JudgedWindow(
            end, length, result.rows, may_open, revised, result.verdicts, result.pairs
        )

    def _evaluate(self, connection: Connection, window: Window, length: Length) -> WindowResult:
        inside = self._read(connection, window.start, window.end)
        parts = self._sum(connection, inside)
        rows_of = _rows_by_version(parts)
        if not rows_of:
            return WindowResult()
        version = max(rows_of, key=lambda number: (rows_of[number], number))
        since, long_parts = window.end - timedelta(seconds=length.reach), parts
        if since < window.start:  # for the long window of a latency objective
            earlier = self._read(connection, since, window.start)
            long_parts = self._sum(connection, [*earlier, *inside])
        columns = self._columns(connection, window, parts, version) if length.columns else []
        latencies = latency.judge_all(self.settings.latency, length, parts, long_parts)
        window_stats = [
            stat
            for part, profile in parts.items()
            for stat in stats(part, profile, self._reference(connection, part))
        ]
        pairs = side_by_side.pairs(parts, version) if length.columns else []
        rows = sum(rows_of.values())
        return WindowResult(rows, [*columns, *latencies], _first_binning(window_stats), pairs)

    def _read(self, connection: Connection, since: datetime, until: datetime) -> list[ProfileRow]:
        read = hours.read if until - since >= MIN_WINDOW else windows.read
        return read(connection, self.name, since, until, self.settings.segments)

    def _sum(self, connection: Connection, rows: Sequence[ProfileRow]) -> Parts:
        ids = {row.binning_id for row in rows}
        return windows.sums(rows, {name: binnings.read(connection, name) for name in ids})

    def _reference(self, connection: Connection, part: Part) -> Profile | None:
        if part.segment != names.ALL_ROWS:
            return None
        stored = self.judges.reference(connection, part.version)
        return None if stored is None else stored.profile

    def _columns(
        self, connection: Connection, window: Window, parts: Parts, version: int
    ) -> list[Verdict]:
        """Judge the columns of a version, of all rows and of each segment."""
        judged: list[Verdict] = []
        for segment in (names.ALL_ROWS, *self.settings.segments):
            try:
                judged += self._segment(connection, window, parts, version, segment)
            except psycopg.Error:
                raise
            except NoReferenceError as error:
                judged.append(_no_reference(str(error), segment, version))
            except Exception as error:  # a segment that fails must not stop the others
                log.exception("model %s: judging segment %r failed", self.name, segment)
                judged.append(replace(_broken("segment", error), segment=segment, version=version))
        judged += self._estimated(connection, window, parts, version)
        level = self._level_of_all_columns(connection, window, version)
        return judged + self._raw.judge(connection, window, version, level)

    def _estimated(
        self, connection: Connection, window: Window, parts: Parts, version: int
    ) -> list[Verdict]:
        part = max(
            (p for p in parts if p[:3] == (version, names.SERVED, names.ALL_ROWS)),
            key=lambda p: parts[p].rows,
        )
        reference = self._reference(connection, part)
        try:
            return self._estimates.judge(connection, window, version, parts[part], reference)
        except psycopg.Error:
            raise
        except Exception as error:
            log.exception("model %s: estimating performance failed", self.name)
            return [replace(_broken("estimated", error), version=version)]

    def _level_of_all_columns(
        self, connection: Connection, window: Window, version: int
    ) -> float | None:
        """Significance level of the monitor that tests all columns together, if it alerts."""
        for name in budget.multivariate_monitors(self.settings):
            try:
                levels = self.judges.get(connection, version, names.ALL_ROWS).levels
            except NoReferenceError:
                return None
            return levels[HypothesisTest(name, "", names.ALL_ROWS, window.seconds)]
        return None

    def _segment(
        self, connection: Connection, window: Window, parts: Parts, version: int, segment: str
    ) -> list[Verdict]:
        judge = self.judges.get(connection, version, segment)
        stored = self.judges.reference(connection, version)
        assert stored is not None
        binning = stored.profile.binning
        part = Part(version, names.SERVED, segment, binning.id)
        if part not in parts and segment == names.ALL_ROWS:
            raise NoReferenceError(
                f"version {version} was counted in different bins than its reference "
                f"({binning.id}): set a new one with "
                f"'driftline reference set {self.name} --version {version}'"
            )
        current = parts.get(part) or Profile.of(binning)
        return judge.judge(window, trim(binning).profile(current))


def _add_verdicts(
    window: JudgedWindow, series: Sequence[Mapping[tuple[datetime, int], Sequence[Verdict]]]
) -> JudgedWindow:
    """A window with the verdicts of monitors that compare it with earlier windows."""
    key = window.end, window.length.seconds
    added = [verdict for by_window in series for verdict in by_window.get(key, ())]
    return replace(window, verdicts=[*window.verdicts, *added])


def _rows_by_version(parts: Parts) -> dict[int, int]:
    """Published predictions of each version; each counted once, also if in two binnings."""
    rows: dict[int, int] = {}
    for part, profile in parts.items():
        if part.role == names.SERVED and part.segment == names.ALL_ROWS:
            rows[part.version] = max(rows.get(part.version, 0), profile.rows)
    return {version: n for version, n in rows.items() if n}


def _first_binning(window_stats: Iterable[Stat]) -> list[Stat]:
    """A version that was counted in two binnings has two rows per column: keep the first."""
    unique: dict[tuple[int, str, str, str], Stat] = {}
    for stat in window_stats:
        unique.setdefault((stat.version, stat.role, stat.segment, stat.column), stat)
    return list(unique.values())


def _broken(monitor: str, error: Exception) -> Verdict:
    detail = f"{type(error).__name__}: {error}"
    return Verdict(monitor, PIPELINE, "", "broken", 0, detail=detail)


def _no_reference(reason: str, segment: str, version: int) -> Verdict:
    """Shows that there is nothing to compare with; opens no incident."""
    return Verdict(
        "reference",
        "drift",
        "",
        "not_calibrated",
        0,
        alerts=False,
        detail=reason,
        segment=segment,
        version=version,
    )
