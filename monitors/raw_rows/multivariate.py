"""Multivariate drift on bounded samples of raw rows, by the method in the config.

The null distribution comes from the reference's own windows, each compared with the other windows,
as days differ by more than sampling. Without event times the variation between windows is assumed
by the config, and the verdict is provisional.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from driftline import names
from driftline.monitors.calibration.calibrator import fit
from driftline.monitors.calibration.null import NullDistribution
from driftline.monitors.columns.monitor import Comparison
from driftline.monitors.windows.verdict import Status, Verdict
from driftline.profile import sample
from driftline.profile.binning import Ints

MIN_ROWS = 50  # of each sample
MAX_WINDOWS = 60  # of the reference that are compared; each costs as much as a window
_MIN_WINDOWS = 8  # needed to estimate their variation
_ASSUMED_DF = 10.0  # degrees of freedom of a variation that the config assumes


@dataclass(frozen=True)
class MethodResult:
    """The result of a method.

    Attributes:
        value: in its own unit; `expected`: the same of the reference.
        statistic: not negative; for independent rows at most a squared normal score.
        columns: the number of compared columns.
        detail: one sentence, for display.
    """

    value: float
    expected: float
    statistic: float
    columns: int
    detail: str


#: Compares n rows of a window with m rows of its reference.
Method = Callable[[pa.Table, pa.Table], MethodResult]


@dataclass(frozen=True)
class MethodNull:
    """The null distribution of a method's statistic, and the number of rows that it holds for."""

    null: NullDistribution
    rows: int


def fit_null(
    method: Method,
    reference: pa.Table,
    length: timedelta,
    rows: int,
    variation: float,
    *,
    windows: Iterable[pa.Table] = (),
) -> MethodNull:
    """The null distribution of a window's statistic.

    Parameters:
        reference: sampled rows, with `event_time` if there are windows.
        length: of a window.
        rows: maximum of a window's sample.
        variation: assumed between windows without `windows`, in standard deviations of a column.
        windows: sampled rows of the reference's own windows, with `event_time`.
    """
    usable = [window for window in windows if len(window) >= MIN_ROWS]
    if len(usable) < _MIN_WINDOWS:
        columns = method(sample.subsample(reference, MIN_ROWS), reference).columns
        harmonic = min(rows, len(reference)) / 2  # n m / (n + m)
        scale = 1 + harmonic * variation**2 * columns
        return MethodNull(NullDistribution(rows, scale, 1.0, _ASSUMED_DF, 0.0, "declared"), rows)
    size = int(np.median([len(window) for window in usable]))
    window_of_row = _windows(reference, length)
    statistics = np.empty(len(usable))
    for i, window in enumerate(usable):
        others = reference.filter(pa.array(window_of_row != _windows(window, length)[0]))
        result = method(sample.subsample(window, size), sample.subsample(others, rows))
        statistics[i] = result.statistic
    unknown, df = np.full(len(statistics), np.nan), np.ones(len(statistics))
    null = fit(Comparison(unknown, unknown, statistics, df, df), size, len(statistics))
    assert null is not None
    return MethodNull(null, size)


def judge(
    name: str,
    method: Method,
    current: pa.Table,
    reference: pa.Table,
    null: MethodNull,
    *,
    rows: int,
    level: float | None,
    version: int,
) -> Verdict:
    """The verdict of a window.

    Parameters:
        current, reference: sampled rows.
        null: of `fit_null`, from this reference.
        rows: maximum of each sample.
        level: the significance level of this test; None: it is only shown.
    """
    window = sample.subsample(current, min(rows, null.rows))
    base = sample.subsample(reference, rows)
    alerts = level is not None
    if min(len(window), len(base)) < MIN_ROWS:
        few = f"{len(window)} rows of the window, {len(base)} of the reference: {MIN_ROWS} needed"
        return Verdict(
            name,
            "drift",
            "",
            "insufficient",
            len(window),
            alerts=alerts,
            detail=few,
            version=version,
        )
    result = method(window, base)
    p = float(null.null.p_value(result.statistic))
    status: Status = "shown"
    reason = ""
    if level is not None:
        status = "alarm" if p <= level else "ok"
        if null.null.attainable > level:
            status = "not_calibrated"
            reason = f"; level {level:.1g} not attainable, at best {null.null.attainable:.1g}"
    return Verdict(
        name,
        "drift",
        "",
        status,
        len(window),
        alerts=alerts,
        value=result.value,
        expected=result.expected,
        p_value=p,
        level=level,
        effect=float(np.sqrt(result.statistic / null.null.scale)),
        provisional=null.null.basis == "declared",
        detail=result.detail + reason,
        version=version,
    )


def _windows(table: pa.Table, length: timedelta) -> Ints:
    """int64[n], the index of the window that contains each row."""
    micros = table[names.EVENT_TIME].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    index: Ints = micros.to_numpy() // (length // timedelta(microseconds=1))
    return index
