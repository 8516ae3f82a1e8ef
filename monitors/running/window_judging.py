"""One model's windows: find those that are due, judge them, store what was found."""

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
from driftline.monitors.calibration.budget import Look
from driftline.monitors.calibration.judges import Judges, NoReferenceError
from driftline.monitors.performance import realised
from driftline.monitors.raw_rows.row_monitors import RawMonitors
from driftline.monitors.references import burn_in
from driftline.monitors.running import slow_drift
from driftline.monitors.running.estimates import Estimates
from driftline.monitors.running.hour_sums import WORTH, Fold
from driftline.monitors.running.window_stats import stats
from driftline.monitors.stream import (
    latency,
    seasonal_volume,
    side_by_side,
    version_against_version,
)
from driftline.monitors.stream.series import by_length
from driftline.monitors.windows import schedule
from driftline.monitors.windows.judged_window import Fresh, row
from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Verdict, Window
from driftline.profile.profile import Profile
from driftline.profile.trimmed import trim
from driftline.storage.connection import Connection
from driftline.storage.monitoring import judged_windows, verdicts
from driftline.storage.monitoring.judged_windows import Judged, Stat
from driftline.storage.profiles import binnings, dirty_minutes, hours, windows
from driftline.storage.profiles.profile_rows import ProfileRow
from driftline.storage.profiles.windows import Part

log = logging.getLogger(__name__)

# Monitors whose verdicts do not come from the window alone; a revision leaves them alone.
_SPARED = (
    *("volume", "no_traffic", "rejected", "registry", "slow_drift", "version_against_version"),
    *map(realised.name, get_args(Metric)),
)
_AT_ONCE = 64  # windows that one transaction judges for the first time, at most
_LOOK_BACK = timedelta(days=1)  # what a model's first round judges of the past, at least one window

_INSTANT = timedelta(microseconds=1)
_NOTHING = (None, None, None)  # is judged of a length

Parts = dict[Part, Profile]


@dataclass(frozen=True)
class Seen:
    """What a look at one window found.

    Attributes:
        rows: predictions that were published.
        verdicts: on the window alone.
        stats: what it held.
        pairs: other versions beside the one that served, to be judged by their past.
    """

    rows: int = 0
    verdicts: Sequence[Verdict] = ()
    stats: Sequence[Stat] = ()
    pairs: Sequence[Verdict] = ()


@dataclass(frozen=True)
class Due:
    """What is to be judged.

    Attributes:
        clock: the time that decides which windows have ended; None before anything was counted.
        windows: (end, length), in order of their ends.
        more: so many more were due than are judged at once.
        waited_since: the oldest of all that are due should have been judged at this time.
        opening: (end, seconds) of those that a runner judges for the first time; a backfill may
            have judged them before.
    """

    clock: datetime | None
    windows: Sequence[tuple[datetime, Length]]
    more: int = 0
    waited_since: datetime | None = None
    opening: frozenset[tuple[datetime, int]] = frozenset()


class Watch:
    """Judges the windows of one model.

    Parameters:
        name: the model's name in the config.
        model: its section.
    """

    def __init__(self, name: str, model: Model) -> None:
        self.name = name
        self.model = model
        self.settings = model.monitors
        self.lengths = schedule.lengths(model)
        self.judges = Judges(name, model)
        self._ripened: datetime | None = None  # when provisional references were looked at
        self._raw = RawMonitors(name, model.monitors)
        self._estimates = Estimates(name, model)
        longest = max(max(length.seconds, length.reach) for length in self.lengths)
        self._fold = Fold(name, timedelta(seconds=longest))

    def due(self, connection: Connection, now: datetime, *, ended: bool = False) -> Due:
        """What is to be judged now; the marks of late events are used up by the caller's
        transaction.

        Parameters:
            now: the database's time.
            ended: nothing more will come: also windows whose lateness has not passed.
        """
        counted = windows.counted_until(connection, self.name)
        clock = now if self.settings.clock == "wall" else counted
        if clock is None or counted is None:
            return Due(clock, ())
        lateness = timedelta(0) if ended else self.settings.lateness
        until = clock - lateness
        minutes = dirty_minutes.take(connection, self.name)
        self._fold.advance(connection, minutes, until)
        spans = judged_windows.spans(connection, self.name, (one.seconds for one in self.lengths))
        again: set[tuple[datetime, Length]] = set()
        new: list[tuple[datetime, Length]] = []
        gap: list[tuple[datetime, Length]] = []
        for length in self.lengths:
            closed = schedule.last_end(length, until)
            start = self._start(connection, length, clock)
            first, floor, frontier = spans.get(length.seconds, _NOTHING)
            if first is not None and floor is not None and frontier is not None:
                changed = schedule.touched(length, minutes, first, frontier)
                known = judged_windows.among(connection, self.name, length.seconds, changed)
                again.update((end, length) for end in known)
                if self.settings.clock == "event":  # what came first need not be the oldest
                    last = schedule.last_end(length, floor - _INSTANT)
                    gap += [(end, length) for end in schedule.ends(length, start, last)]
                start = schedule.first_end(length, frontier)  # what was judged had other steps
            new += [(end, length) for end in schedule.ends(length, start, closed)]
        # a gap is closed backwards: what is judged stays one stretch of time
        first_looks = [*sorted(gap, key=_order, reverse=True), *sorted(new, key=_order)]
        opening = first_looks[:_AT_ONCE]
        chosen = sorted(again.union(opening), key=_order)
        waited = min((end for end, _ in new), default=None)
        more = max(len(first_looks) - _AT_ONCE, 0)
        return Due(
            clock,
            chosen,
            more,
            None if waited is None else waited + self.settings.lateness,
            frozenset(_order(one) for one in opening),
        )

    def judge(self, connection: Connection, due: Due) -> list[Fresh]:
        """Judge windows and store what was found, in the caller's transaction."""
        if due.clock is not None and burn_in.checks(self._ripened, due.clock):
            burn_in.replace(connection, self.name, self.settings, due.clock)
            self._ripened = due.clock
        self.judges.refresh(connection)
        known = self._judged_before(connection, due.windows)
        if due.clock is not None:
            for length in self.lengths:
                passed = due.clock - self.settings.lateness
                judged_windows.finish(connection, self.name, length.seconds, passed)
        fresh = []
        for end, length in due.windows:
            before = known.get((end, length.seconds))
            final = due.clock is None or end + self.settings.lateness <= due.clock
            opens = (end, length.seconds) in due.opening
            fresh.append(self._judge_one(connection, end, length, before, final=final, opens=opens))
        series = (
            *(
                by_length(fresh, partial(judge, connection, self.name, self.settings))
                for judge in (seasonal_volume.judge, side_by_side.judge)
            ),
            slow_drift.judge(connection, self.name, self.judges, fresh),
        )
        self.judges.keep(connection)
        return [_with(one, series) for one in fresh]

    def next_close(self, now: datetime) -> datetime:
        """When the next window ends and its lateness has passed, where the real time decides."""
        late = self.settings.lateness
        return min(schedule.first_end(length, now - late) for length in self.lengths) + late

    def _start(self, connection: Connection, length: Length, clock: datetime) -> datetime:
        """The end of the first window that is ever judged."""
        oldest = windows.counted_since(connection, self.name)
        assert oldest is not None
        if self.settings.clock == "wall":
            back = max(_LOOK_BACK, timedelta(seconds=length.seconds))
            oldest = max(oldest, clock - self.settings.lateness - back)
        return schedule.first_end(length, oldest)

    def _judged_before(
        self, connection: Connection, wanted: Iterable[tuple[datetime, Length]]
    ) -> dict[tuple[datetime, int], Judged]:
        ends_of: dict[int, list[datetime]] = {}
        for end, length in wanted:
            ends_of.setdefault(length.seconds, []).append(end)
        return {
            (end, seconds): one
            for seconds, ends in ends_of.items()
            for end, one in judged_windows.among(connection, self.name, seconds, ends).items()
        }

    def _judge_one(
        self,
        connection: Connection,
        end: datetime,
        length: Length,
        before: Judged | None,
        *,
        final: bool,
        opens: bool,
    ) -> Fresh:
        window = Window(length.seconds, end)
        revision = 0 if before is None else before.revision + 1
        seen = Seen()
        try:
            seen = self._look(connection, window, length)
        except psycopg.Error:
            raise
        except Exception as error:  # one window that can't be judged stops no other
            log.exception("window %s of model %s can't be judged", window, self.name)
            seen = Seen(verdicts=[_broken("window", error)])
        judged_windows.write(
            connection,
            self.name,
            length.seconds,
            Judged(
                end,
                revision,
                seen.rows,
                final or (before is not None and before.final),
                opens or (before is not None and before.live),
            ),
            seen.stats,
        )
        verdicts.write(
            connection,
            self.name,
            length.seconds,
            end,
            map(row, seen.verdicts),
            revision=revision,
            sparing=_SPARED,
        )
        may_open = opens or (before is not None and not before.final)
        revised = before is not None
        return Fresh(end, length, seen.rows, may_open, revised, seen.verdicts, seen.pairs)

    def _look(self, connection: Connection, window: Window, length: Length) -> Seen:
        since = window.end - timedelta(seconds=length.reach)
        inside = self._read(connection, window.start, window.end)
        every = inside
        if since < window.start:
            every = [*self._read(connection, since, window.start), *inside]
        parts = self._sums(connection, inside)
        served = _served(parts)
        if not served:
            return Seen()
        found: list[Verdict] = []
        if length.columns:
            found += self._columns(connection, window, parts)
        long_parts = parts if inside is every else self._sums(connection, every)
        found += self._latency(parts, long_parts, length)
        shown = [
            stat
            for part, profile in parts.items()
            for stat in stats(part, profile, self._reference(connection, part))
        ]
        pairs = _compared(parts) if length.columns else []
        return Seen(sum(served.values()), found, _each_once(shown), pairs)

    def _read(self, connection: Connection, since: datetime, until: datetime) -> list[ProfileRow]:
        read = hours.read if until - since >= WORTH else windows.read
        return read(connection, self.name, since, until, self.settings.segments)

    def _sums(self, connection: Connection, rows: Sequence[ProfileRow]) -> Parts:
        known = {name: binnings.read(connection, name) for name in {r.binning_id for r in rows}}
        return windows.sums(rows, known)

    def _reference(self, connection: Connection, part: Part) -> Profile | None:
        if part.segment != names.ALL_ROWS:
            return None
        stored = self.judges.reference(connection, part.version)
        return None if stored is None else stored.profile

    def _columns(self, connection: Connection, window: Window, parts: Parts) -> list[Verdict]:
        """The columns of the version that served most of the window, and of its segments."""
        served = _served(parts)
        version = max(served, key=lambda one: (served[one], one))
        found: list[Verdict] = []
        for segment in (names.ALL_ROWS, *self.settings.segments):
            try:
                found += self._segment(connection, window, parts, version, segment)
            except psycopg.Error:
                raise
            except NoReferenceError as error:
                status = _unknown(str(error), segment, version)
                found.append(status)
            except Exception as error:  # one segment that fails stops no other
                log.exception("segment %r of model %s can't be judged", segment, self.name)
                found.append(replace(_broken("segment", error), segment=segment, version=version))
        found += self._estimated(connection, window, parts, version)
        level = self._level_of_all_columns(connection, window, version)
        return found + self._raw.judge(connection, window, version, level)

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
            log.exception("performance of model %s can't be estimated", self.name)
            return [replace(_broken("estimated", error), version=version)]

    def _level_of_all_columns(
        self, connection: Connection, window: Window, version: int
    ) -> float | None:
        """The false-alarm rate of the monitor that judges all columns together, if it alerts."""
        for name in budget.whole(self.settings):
            try:
                levels = self.judges.of(connection, version, names.ALL_ROWS).levels
            except NoReferenceError:
                return None
            return levels[Look(name, "", names.ALL_ROWS, window.seconds)]
        return None

    def _segment(
        self, connection: Connection, window: Window, parts: Parts, version: int, segment: str
    ) -> list[Verdict]:
        judge = self.judges.of(connection, version, segment)
        stored = self.judges.reference(connection, version)
        assert stored is not None
        binning = stored.profile.binning
        part = Part(version, names.SERVED, segment, binning.id)
        if part not in parts and segment == names.ALL_ROWS:
            raise NoReferenceError(
                f"version {version} was counted in other bins than its reference {binning.id}: "
                f"'driftline reference set {self.name} --version {version}' makes one anew"
            )
        current = parts.get(part) or Profile.of(binning)
        return judge.judge(window, trim(binning).profile(current))

    def _latency(self, parts: Parts, long_parts: Parts, length: Length) -> list[Verdict]:
        """Each latency over all versions, against its objective where it has one."""
        objectives = (
            (names.INFERENCE_MS, self.settings.latency.inference),
            (names.LAG_MS, self.settings.latency.end_to_end),
        )
        found: list[Verdict] = []
        for column, objective in objectives:
            short = latency.total(parts, column)
            if short is None:
                continue
            if objective is None:
                found += [latency.shown(short)] if length.columns else []
            elif int(objective.short.total_seconds()) == length.seconds:
                long = latency.total(long_parts, column)
                found += [] if long is None else [latency.judge(objective, short, long)]
        return found


def _with(one: Fresh, series: Sequence[Mapping[tuple[datetime, int], Sequence[Verdict]]]) -> Fresh:
    """A window with what monitors of series said of it."""
    more = [v for said in series for v in said.get((one.end, one.length.seconds), ())]
    return replace(one, verdicts=[*one.verdicts, *more])


def _served(parts: Parts) -> dict[int, int]:
    """Rows by version, of predictions that were published; each counted once."""
    rows: dict[int, int] = {}
    for part, profile in parts.items():
        if part.role == names.SERVED and part.segment == names.ALL_ROWS:
            rows[part.version] = max(rows.get(part.version, 0), profile.rows)
    return {version: n for version, n in rows.items() if n}


def _compared(parts: Parts) -> list[Verdict]:
    """Every other version against the one that served most of the window."""
    served = _served(parts)
    champion = max(served, key=lambda one: (served[one], one))
    everything = {p: x for p, x in parts.items() if p.segment == names.ALL_ROWS}
    own = [x for p, x in everything.items() if (p.version, p.role) == (champion, names.SERVED)]
    found: dict[int, Verdict] = {}
    for part, profile in everything.items():
        if part.version == champion:
            continue
        versions = part.version, champion
        verdict = version_against_version.compare(own[0], profile, versions)
        if verdict is not None and part.version not in found:
            found[part.version] = verdict
    return list(found.values())


def _each_once(shown: Iterable[Stat]) -> list[Stat]:
    """A version that is counted in two binnings has two rows a column: the first stays."""
    unique: dict[tuple[int, str, str, str], Stat] = {}
    for stat in shown:
        unique.setdefault((stat.version, stat.role, stat.segment, stat.column), stat)
    return list(unique.values())


def _broken(what: str, error: Exception) -> Verdict:
    detail = f"{type(error).__name__}: {error}"
    return Verdict(what, PIPELINE, "", "broken", 0, detail=detail)


def _unknown(why: str, segment: str, version: int) -> Verdict:
    """Without anything to compare with: said, and no incident."""
    return Verdict(
        "reference",
        "drift",
        "",
        "not_calibrated",
        0,
        alerts=False,
        detail=why,
        segment=segment,
        version=version,
    )


def _order(one: tuple[datetime, Length]) -> tuple[datetime, int]:
    return one[0], one[1].seconds
