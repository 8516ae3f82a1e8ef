"""Versions that score the same windows: each pair is compared with its own earlier windows."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from driftline import names
from driftline.config.monitors import Monitors
from driftline.monitors.calibration import budget
from driftline.monitors.stream import version_against_version
from driftline.monitors.stream.baseline import Earlier, Lookback
from driftline.monitors.stream.version_against_version import NAME, WINDOWS
from driftline.monitors.windows.judged_window import JudgedWindow, row
from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Status, Verdict
from driftline.profile.profile import Profile
from driftline.storage.connection import Connection
from driftline.storage.monitoring import accepted_levels, verdicts
from driftline.storage.profiles.windows import Part


def pairs(parts: Mapping[Part, Profile], version: int) -> list[Verdict]:
    """Every other version of a window against the one that served most of it, not judged yet."""
    profiles = {part: x for part, x in parts.items() if part.segment == names.ALL_ROWS}
    serving = next(
        profile
        for part, profile in profiles.items()
        if (part.version, part.role) == (version, names.SERVED)
    )
    by_version: dict[int, Verdict] = {}
    for part, profile in profiles.items():
        if part.version == version or part.version in by_version:
            continue
        verdict = version_against_version.compare(serving, profile, (part.version, version))
        if verdict is not None:
            by_version[part.version] = verdict
    return list(by_version.values())


def judge(
    connection: Connection,
    model: str,
    settings: Monitors,
    length: Length,
    windows: Sequence[JudgedWindow],
) -> dict[datetime, list[Verdict]]:
    """Judge the pairs of windows that were judged just now, and of all later windows.

    Parameters:
        length: of the windows.
        windows: those that were judged just now.

    Returns:
        The verdicts of all of them, by end.
    """
    oldest = min(window.end for window in windows)
    lookback = Lookback(
        timedelta(seconds=length.seconds),
        timedelta(seconds=length.step * WINDOWS),
        settings.accept_after,
        accepted_levels.levels(connection, model, "drift"),
    )
    stored = verdicts.of_monitor(connection, model, length.seconds, NAME, oldest - lookback.total)
    pairs_of = {end: [*map(_verdict, rows)] for end, rows in stored.items()}
    pairs_of |= {window.end: list(window.pairs) for window in windows}
    level = budget.stream_level(settings, budget.VERSIONS)
    check = settings.checks.get(NAME)
    judged: dict[datetime, list[Verdict]] = {}
    past: dict[tuple[int, int], list[Earlier]] = {}

    def earlier_gaps(pair: Verdict, end: datetime) -> list[tuple[float, int]]:
        baseline = lookback.baseline(past.get(_key(pair), ()), end)
        return [(window.value, window.rows) for window in baseline][-WINDOWS:]

    for end, comparisons in sorted(pairs_of.items()):
        tested = comparisons
        if end >= oldest:
            share = level / max(len(comparisons), 1)
            tested = judged[end] = [
                version_against_version.judge(pair, earlier_gaps(pair, end), share, check)
                for pair in comparisons
            ]
        for pair in tested:
            if pair.value is not None:
                earlier = Earlier(end, pair.value, pair.rows, pair.status, pair.threshold)
                past.setdefault(_key(pair), []).append(earlier)
    for end, tested in judged.items():
        rows = [row(pair) for pair in tested]
        if rows != [old._replace(report_id=None) for old in stored.get(end, ())]:
            verdicts.write_monitor(connection, model, length.seconds, end, rows, monitor=NAME)
    return judged


def _verdict(stored: verdicts.Row) -> Verdict:
    """A pair, with what is needed to judge later ones by it."""
    return Verdict(
        NAME,
        "drift",
        stored.column,
        cast("Status", stored.status),
        stored.rows,
        value=stored.value,
        version=stored.version,
        against=stored.against,
        threshold=stored.threshold,
        low=stored.low,
        high=stored.high,
    )


def _key(pair: Verdict) -> tuple[int, int]:
    return pair.version, pair.against
