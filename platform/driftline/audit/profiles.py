"""Checks that the profiles count exactly the logged rows."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from psycopg import sql

from driftline import names
from driftline.audit.report import Difference
from driftline.audit.stored_offsets import chunks, rows
from driftline.kafka import intervals
from driftline.kafka.intervals import Ints
from driftline.storage.connection import Connection

_MINUTE = 60_000_000  # microseconds
DAY = 1440  # minutes
_SHOWN = 5

Window = tuple[int, int]  # minutes since 1970, [first, end)
ALL_TIME: Window = (-(1 << 40), 1 << 40)

# While its bins change, a version may be counted twice: with the champion's and with its own bins.
# Only the bins that it is registered with are compared then.
PROFILES = sql.SQL(
    """  FROM driftline.profile AS p
  LEFT JOIN driftline.model_version AS v ON v.model = p.model AND v.version = p.version
 WHERE p.model = %(model)s AND p.role = %(role)s
   AND p.binning_id = coalesce(v.binning_id, p.binning_id)"""
)

_PROFILE_COUNTS = sql.SQL(
    """SELECT version, array_agg(minute), array_agg(span), array_agg(n)
         FROM (SELECT p.version, (date_part('epoch', p.bucket) / 60)::bigint AS minute,
                      span_minutes::bigint AS span, sum(rows)::bigint AS n
                 {profiles} AND p.segment = %(segment)s GROUP BY 1, 2, 3) AS counted
        GROUP BY version"""
).format(profiles=PROFILES)

_ROW_COUNTS = sql.SQL(
    """SELECT model_version, array_agg((date_part('epoch', minute) / 60)::bigint), array_agg(n)
         FROM (SELECT model_version, time_bucket('1 minute', event_time) AS minute, count(*) AS n
                 FROM {table}
                WHERE event_time >= to_timestamp(%(first)s) AND event_time < to_timestamp(%(end)s)
                GROUP BY 1, 2) AS counted GROUP BY model_version"""
)


@dataclass(frozen=True)
class Profiled:
    """Result of comparing the profiles with the rows.

    Attributes:
        total: rows of all profiles.
        expired: profiled rows that retention has dropped from the store.
    """

    total: int
    expired: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class _Counts:
    """Profile rows and stored rows of one version, minutes since 1970."""

    start: Ints
    span: Ints
    profiled: Ints
    minute: Ints
    stored: Ints


def compare(connection: Connection, model: str, window: Window = ALL_TIME) -> Profiled:
    """Compare counts for each minute, hour or day of the profiles.

    Parameters:
        window: whole days; profiles outside of it count towards the total only.
    """
    kept_minutes = minutes(chunks(connection, names.prediction_table(model)))
    total = expired = 0
    details: list[str] = []
    difference = 0
    for version, counts in sorted(_read(connection, model, window).items()):
        total += int(counts.profiled.sum())
        start, span, profiled, stored = _cells(counts)
        dropped = np.where(
            is_stored(kept_minutes, start, span), 0, np.maximum(profiled - stored, 0)
        )
        expired += int(dropped.sum())
        inside = (start >= window[0]) & (start < window[1])
        is_wrong = inside & (profiled - dropped != stored)
        difference += int(np.abs(profiled - dropped - stored)[is_wrong].sum())
        details += [
            f"version {version}, {time_of(int(start[i]))} ({span[i]} min): profile {profiled[i]}, "
            f"rows {stored[i]}"
            for i in np.flatnonzero(is_wrong)
        ]
    differences = (_difference(details, difference),) if details else ()
    return Profiled(total, expired, differences)


def _difference(wrong: list[str], count: int) -> Difference:
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return Difference("profile", "the profiles", count, "; ".join(wrong[:_SHOWN]) + more)


def _read(connection: Connection, model: str, window: Window) -> dict[int, _Counts]:
    key = {"model": model, "role": names.SERVED, "segment": names.ALL_ROWS}
    profiled = {v: some for v, *some in rows(connection, _PROFILE_COUNTS, key)}
    table = sql.Identifier(names.SCHEMA, names.prediction_table(model))
    # the years 1 to 9999, as far as timestamps of a prediction go
    first, end = max(window[0] * 60, -62_135_596_800), min(window[1] * 60, 253_402_300_800)
    stored = {
        v: some
        for v, *some in rows(
            connection, _ROW_COUNTS.format(table=table), {"first": first, "end": end}
        )
    }
    nothing = np.zeros(0, dtype=np.int64)
    return {
        version: _Counts(*profiled.get(version, [nothing] * 3), *stored.get(version, [nothing] * 2))
        for version in profiled.keys() | stored.keys()
    }


def _cells(counts: _Counts) -> tuple[Ints, Ints, Ints, Ints]:
    """Start, span, profiled and stored rows of each minute, or of the hour or day that it, or a
    part of the hour, went into."""
    days = np.unique(counts.start[counts.span == DAY] // DAY)
    hours = np.unique(counts.start[(counts.span > 1) & (counts.span < DAY)] // 60)

    def cell(minutes: Ints) -> tuple[Ints, Ints]:
        span = np.where(np.isin(minutes // 60, hours), 60, 1)
        span = np.where(np.isin(minutes // DAY, days), DAY, span)
        return minutes // span * span, span

    starts, spans = cell(np.concatenate((counts.start, counts.minute)))
    distinct, first, place = np.unique(starts, return_index=True, return_inverse=True)
    profiled, stored = (np.zeros(len(distinct), dtype=np.int64) for _ in range(2))
    np.add.at(profiled, place[: len(counts.start)], counts.profiled)
    np.add.at(stored, place[len(counts.start) :], counts.stored)
    return distinct, spans[first], profiled, stored


def minutes(spans: Ints) -> Ints:
    """Spans of microseconds as minutes."""
    return intervals.union(spans // _MINUTE)


def is_stored(
    stored: Ints, start: Ints, span: Ints
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which cells lie entirely within the times that the table still has chunks for."""
    inside = intervals.counts(stored, np.stack((start, start + span), axis=1))
    complete: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = inside == span
    return complete


def time_of(minute: int) -> str:
    """A minute since 1970 as readable text."""
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%d %H:%M")
