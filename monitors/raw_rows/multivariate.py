"""Drift of columns together, on bounded samples of raw rows; which method is in the config.

The law of a statistic when nothing changed comes from the reference's own windows, each judged
against the rest of it as any window is: a day differs from other days more than chance allows.
Without times only a declared variation is known, and the verdict is provisional.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from driftline import names
from driftline.monitors.calibration.calibrator import fit
from driftline.monitors.calibration.null import Null
from driftline.monitors.columns.monitor import Comparison
from driftline.monitors.windows.verdict import Status, Verdict
from driftline.profile import sample
from driftline.profile.binning import Ints

FEWEST = 50  # rows of either sample
WINDOWS = 60  # of the reference are judged, at most; each costs as much as a window
_LEAST = 8  # of them; else their variation is not known
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
    method: Method,
    reference: pa.Table,
    length: timedelta,
    rows: int,
    variation: float,
    *,
    windows: Iterable[pa.Table] = (),
) -> Law:
    """The law of a window's statistic when nothing has changed.

    Parameters:
        reference: sampled rows, with `event_time` where there are windows.
        length: of a window.
        rows: of a window's sample, at most.
        variation: between windows, in standard deviations of a column, where nothing else is
            known of it.
        windows: sampled rows of the reference's own windows, with `event_time`.
    """
    usable = [one for one in windows if len(one) >= FEWEST]
    if len(usable) < _LEAST:
        columns = method(sample.thin(reference, FEWEST), reference).columns
        both = min(rows, len(reference)) / 2  # n m / (n + m)
        scale = 1 + both * variation**2 * columns
        return Law(Null(rows, scale, 1.0, _UNKNOWN, 0.0, "declared"), rows)
    size = int(np.median([len(one) for one in usable]))
    which = _windows(reference, length)
    statistics = np.array(
        [
            method(
                sample.thin(one, size),
                sample.thin(reference.filter(pa.array(which != _windows(one, length)[0])), rows),
            ).statistic
            for one in usable
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


def _windows(table: pa.Table, length: timedelta) -> Ints:
    """int64[n], the window that each row lies in."""
    micros = table[names.EVENT_TIME].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    found: Ints = micros.to_numpy() // (length // timedelta(microseconds=1))
    return found
