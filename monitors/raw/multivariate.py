"""Drift of columns together, on bounded samples of raw rows; which method is in the config.

The law of a statistic when nothing changed comes from the reference's own blocks of time, each
judged against the others as a window is: a day differs from other days more than chance allows.
Without times only a declared variation is known, and the verdict is provisional.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from driftline import names
from driftline.profile import sample
from driftline.profile.binning import Ints
from monitors.calibration.calibrator import fit
from monitors.calibration.null import Null
from monitors.columns.monitor import Comparison
from monitors.verdict import Status, Verdict

FEWEST = 50  # rows of either sample
_BLOCKS = 60  # of the reference are judged, at most; each costs as much as a window
_UNKNOWN = 10.0  # degrees of freedom of a variation that was only declared


@dataclass(frozen=True)
class Found:
    """What a method finds.

    Attributes:
        value: in its own unit; `expected`: the same of the reference.
        statistic: not negative; for independent rows at most a squared normal score.
        columns: how many were compared.
        detail: one sentence for people.
    """

    value: float
    expected: float
    statistic: float
    columns: int
    detail: str


#: Compares n rows of a window with m rows of its reference.
Method = Callable[[pa.Table, pa.Table], Found]


@dataclass(frozen=True)
class Law:
    """The law of a method's statistic, and the number of rows that it holds for."""

    null: Null
    rows: int


def learn(
    method: Method, reference: pa.Table, length: timedelta, rows: int, variation: float
) -> Law:
    """The law of a window's statistic when nothing has changed.

    Parameters:
        reference: sampled rows, with `event_time` where it is known.
        length: of a window.
        rows: of a window's sample, at most.
        variation: between windows, in standard deviations of a column, where nothing else is
            known of it.
    """
    blocks = _blocks(reference, length)
    if blocks is None:
        columns = method(sample.thin(reference, FEWEST), reference).columns
        both = min(rows, len(reference)) / 2  # n m / (n + m)
        scale = 1 + both * variation**2 * columns
        return Law(Null(rows, scale, 1.0, _UNKNOWN, 0.0, "declared"), rows)
    which, numbers, size = blocks
    statistics = np.array(
        [
            method(
                sample.thin(reference.filter(pa.array(which == one)), size),
                sample.thin(reference.filter(pa.array(which != one)), rows),
            ).statistic
            for one in numbers
        ]
    )
    nothing, ones = np.full(len(statistics), np.nan), np.ones(len(statistics))
    null = fit(Comparison(nothing, nothing, statistics, ones, ones), size, len(statistics))
    assert null is not None
    return Law(null, size)


def judge(
    name: str,
    method: Method,
    current: pa.Table,
    reference: pa.Table,
    law: Law,
    *,
    rows: int,
    level: float | None,
    version: int,
) -> Verdict:
    """The verdict of a window.

    Parameters:
        current, reference: sampled rows.
        law: of `learn`, from this reference.
        rows: of either sample, at most.
        level: the false-alarm rate of this look; None: it is only shown.
    """
    now = sample.thin(current, min(rows, law.rows))
    before = sample.thin(reference, rows)
    alerts = level is not None
    if min(len(now), len(before)) < FEWEST:
        few = f"{len(now)} rows of the window, {len(before)} of the reference: {FEWEST} are needed"
        return Verdict(
            name, "drift", "", "insufficient", len(now), alerts=alerts, detail=few, version=version
        )
    found = method(now, before)
    p = float(law.null.p_value(found.statistic))
    status: Status = "shown"
    why = ""
    if level is not None:
        status = "alarm" if p <= level else "ok"
        if law.null.attainable > level:
            status = "not_calibrated"
            why = f"; the reference supports a level of {law.null.attainable:.1g}"
    return Verdict(
        name,
        "drift",
        "",
        status,
        len(now),
        alerts=alerts,
        value=found.value,
        expected=found.expected,
        p_value=p,
        level=level,
        effect=float(np.sqrt(found.statistic / law.null.scale)),
        provisional=law.null.basis == "declared",
        detail=found.detail + why,
        version=version,
    )


def _blocks(reference: pa.Table, length: timedelta) -> tuple[Ints, list[int], int] | None:
    """Which block each row is in, the blocks to be judged, and so many rows of each; None when
    there are fewer than 8 with enough rows."""
    if names.EVENT_TIME not in reference.column_names:
        return None
    micros = reference[names.EVENT_TIME].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    which = micros.to_numpy() // (length // timedelta(microseconds=1))
    found, counts = np.unique(which, return_counts=True)
    usable = counts >= FEWEST
    if usable.sum() < 8:
        return None
    numbers = found[usable]
    spread = np.linspace(0, len(numbers) - 1, min(_BLOCKS, len(numbers))).round().astype(int)
    return which, numbers[spread].tolist(), int(np.median(counts[usable]))
