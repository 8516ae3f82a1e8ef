"""Null distributions of statistics, estimated from the reference's own windows."""

import hashlib
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
from scipy import special

from driftline.config.monitors import Monitors
from driftline.monitors.calibration.autocorrelation import inflation
from driftline.monitors.calibration.budget import HypothesisTest
from driftline.monitors.calibration.null import MOSTLY_SAMPLING, Basis, NullDistribution, freedom
from driftline.monitors.calibration.overdispersion import Overdispersion
from driftline.monitors.calibration.reference import Blocks, Reference, without_block
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import Comparison, Dispersed, Monitor
from driftline.profile.binning import Floats, Ints
from driftline.storage.monitoring.calibrations import Key, StoredNull

_METHOD = 5  # increased when the same windows would give other null distributions
MIN_SIZE = 50.0  # rows; the smallest window size with a null distribution
_SIZE_RATIO = np.sqrt(2.0)  # of consecutive sizes
MIN_WINDOWS = 8  # needed to estimate the variation between windows
_MAX_WINDOWS = 600  # compared per reference; more take time and add little
_SAMPLING_ALPHA = 0.05  # of the test whether the variance is mostly that of independent rows ...
_NO_OUTLIERS = 0.4  # ... unless a few windows stand out, so that fewer degrees of freedom fit
_ASSUMED_DF = 10.0  # degrees of freedom of a variation that the config assumes


def sizes_up_to(rows: float) -> Floats:
    """The window sizes that have null distributions: 50, 71, 100, ..., at most `rows`."""
    if rows < MIN_SIZE:
        return np.array([max(rows, 1.0)])
    steps = int(np.floor(np.log(rows / MIN_SIZE) / np.log(_SIZE_RATIO) + 1e-9))
    sizes: Floats = MIN_SIZE * _SIZE_RATIO ** np.arange(steps + 1)
    return sizes


@dataclass(frozen=True)
class Calibrator:
    """The null distributions of one reference, each estimated on first use and cached.

    Attributes:
        settings: the model's monitoring config.
        reference: the reference of its windows.
    """

    settings: Monitors
    reference: Reference
    _nulls: dict[Key, NullDistribution | None] = field(default_factory=dict)
    _last: dict[tuple[str, int], tuple[Counts, Counts]] = field(default_factory=dict)

    def null(
        self, monitor: Monitor, test: HypothesisTest, rows: float, df: float, level: float
    ) -> NullDistribution | None:
        """The null distribution for a window with `rows` rows.

        If `level` is not attainable at that size, the one of the largest size at which it is; the
        window is then scaled down to that size.

        Parameters:
            test: column and window length.
            rows: `monitor.sizes` of the window.
            df: degrees of freedom of the statistic for independent rows; NaN when unknown.
            level: the requested significance level.

        Returns:
            None when the monitor needs windows of the reference, and there are none.
        """
        if not self.reference.has_windows(test.seconds):
            return self._assumed(monitor, rows, df)
        sizes = sizes_up_to(rows).tolist()
        inside = bisect_right(sizes, self.reference.max_rows(test.seconds))
        beyond = self._attainable_sizes(monitor, test, sizes[inside:], level)
        best: NullDistribution | None = None
        for size in (*beyond[-1:], *sizes[:inside][::-1]):
            null = self._null(monitor, test, size)
            if null is None:
                continue
            best = null
            if null.attainable <= level:
                break
        assumed = self._assumed(monitor, rows, df)
        if best is None:
            return assumed
        best = best.resized(min(rows, best.size * _SIZE_RATIO), df)
        if assumed is None or len(sizes) == inside:
            return best
        is_wider = best.threshold(level) / best.size > assumed.threshold(level) / rows
        return assumed if (is_wider or best.attainable > level) and not best.differs else best

    def _attainable_sizes(
        self, monitor: Monitor, test: HypothesisTest, sizes: Sequence[float], level: float
    ) -> Sequence[float]:
        """The ascending sizes at which the level is attainable."""

        def unattainable(size: float) -> bool:
            null = self._null(monitor, test, size)
            return null is None or null.attainable > level

        return sizes[: bisect_left(sizes, True, key=unattainable)]

    def variation(self, monitor: Monitor, column: str, seconds: int) -> tuple[float, float] | None:
        """The long-run variance of the signed effects of the reference's windows over their
        variance (1 when they are independent), and the number of windows."""
        pairs = self._pairs(column, seconds)
        if pairs is None:
            return None
        counts, references = pairs
        usable = _usable(monitor, counts, references, MIN_SIZE)
        if len(usable) < MIN_WINDOWS:
            return None
        comparison = monitor.compare(counts.take(usable), references.take(usable))
        signed = comparison.sign * np.sqrt(np.maximum(comparison.statistic, 0.0))
        return inflation(signed), float(len(usable))

    def release(self) -> None:
        """Free the reference's windows, needed only for new null distributions and for matching."""
        self._last.clear()
        if self.settings.matching == "none":
            self.reference.release()

    @property
    def digest(self) -> str:
        """A hash of the settings that the null distributions depend on."""
        text = f"{_METHOD} {self.settings.matching} {self.settings.block_length}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def restore(self, nulls: Mapping[Key, StoredNull]) -> None:
        """Add null distributions that were stored for the same reference and digest."""
        for key, values in nulls.items():
            self._nulls[key] = None if values is None else NullDistribution(**values)

    def nulls(self, exclude: Collection[Key] = ()) -> dict[Key, StoredNull]:
        """The null distributions estimated or restored so far, as they are stored."""
        return {
            key: None if null is None else null.to_dict()
            for key, null in self._nulls.items()
            if key not in exclude
        }

    def _assumed(self, monitor: Monitor, rows: float, df: float) -> NullDistribution | None:
        """The null distribution for the variation between windows that the config assumes."""
        if not np.isfinite(df):
            return None
        scale = df + (rows * self.settings.assumed_variation**2 if monitor.varies else 0.0)
        df1 = freedom(df, scale)
        return NullDistribution(rows, scale, df1, _ASSUMED_DF, 0.0, "declared", df)

    def _null(self, monitor: Monitor, test: HypothesisTest, size: float) -> NullDistribution | None:
        key = Key(monitor.name, test.column, test.seconds, size)
        if key not in self._nulls:
            null = None
            if size <= self.reference.max_rows(test.seconds):
                null = self._estimate(monitor, test.column, test.seconds, size)
            if null is None and (excess := self._overdispersion(monitor, test, size)) is not None:
                null = excess.null(size, self.settings.assumed_variation**2)
            self._nulls[key] = null
        return self._nulls[key]

    def _overdispersion(
        self, monitor: Monitor, test: HypothesisTest, rows: float
    ) -> Overdispersion | None:
        """The excess variation between all windows of the reference, in the cells that suit windows
        of `rows` rows; None when it cannot be estimated."""
        pairs = self._pairs(test.column, test.seconds)
        if pairs is None or not isinstance(monitor, Dispersed):
            return None
        counts, references = pairs
        usable = _usable(monitor, counts, references, 1.0)
        chosen = usable[_evenly_spaced(len(usable), _MAX_WINDOWS)]
        squares, df = monitor.dispersion(counts.take(chosen), references.take(chosen), rows)
        finite = np.isfinite(squares)
        if finite.sum() < MIN_WINDOWS or df < 1:
            return None
        return Overdispersion.of(squares[finite], monitor.sizes(counts)[chosen][finite], df)

    def _estimate(
        self, monitor: Monitor, column: str, seconds: int, size: float
    ) -> NullDistribution | None:
        pairs = self._pairs(column, seconds)
        if pairs is None:
            return None
        counts, references = pairs
        rows = monitor.sizes(counts)
        usable = _usable(monitor, counts, references, size)
        if len(usable) < MIN_WINDOWS:
            return None
        chosen = usable[_evenly_spaced(len(usable), _MAX_WINDOWS)]
        rng = np.random.default_rng(zlib.crc32(f"{column}/{monitor.name}/{seconds}".encode()))
        thinned = counts.take(chosen).thinned(size / rows[chosen], rng)
        left = np.flatnonzero(monitor.sizes(thinned))  # a window of one row can become empty
        comparison = monitor.compare(thinned.take(left), references.take(chosen[left]))
        return fit(comparison, size, len(usable))

    def _pairs(self, column: str, seconds: int) -> tuple[Counts, Counts] | None:
        """A column of the reference's windows, and of the reference without each one's block.

        Only the last column is cached, as the monitors of a column are tested in sequence."""
        key = (column, seconds)
        if key not in self._last:
            self._last.clear()
            windows = self.reference.windows(seconds)
            if windows is None:
                return None
            counts = Counts.of_many(self.reference.binning, windows.counts, windows.sums, column)
            block = self._block(windows, seconds)
            references = without_block(windows, counts, block, self.settings.matching)
            self._last[key] = counts, references
        return self._last[key]

    def _block(self, windows: Blocks, seconds: int) -> timedelta:
        """The length that is left out together: the configured block, or a day or a window when the
        reference has fewer than four blocks."""
        span = int(windows.starts[-1] - windows.starts[0]) + seconds
        block = int(self.settings.block_length.total_seconds())
        while block > seconds and span < 4 * block:
            block = max(block // 7, seconds)
        return timedelta(seconds=block)


def _usable(monitor: Monitor, counts: Counts, references: Counts, rows: float) -> Ints:
    """The windows with at least `rows` rows and a nonempty reference; with matching by time, a
    window can have none."""
    return np.flatnonzero((monitor.sizes(counts) >= rows) & (monitor.sizes(references) > 0))


def fit(comparison: Comparison, size: float, windows: int) -> NullDistribution | None:
    """The null distribution of m windows of a reference, each compared with the others.

    Parameters:
        comparison: of the m windows, in order of time.
        size: rows of each.
        windows: the number of windows that the m were chosen from.
    """
    statistic = comparison.statistic[np.isfinite(comparison.statistic)]
    if len(statistic) < MIN_WINDOWS:
        return None
    signed = comparison.sign * np.sqrt(np.maximum(comparison.statistic, 0.0))
    # the stronger consecutive windows are correlated, the fewer effective windows
    correlation = max(inflation(comparison.statistic), inflation(signed) ** 0.5)
    blocks = max(min(windows / correlation, float(windows)), 1.0)
    mean, variance = float(statistic.mean()), float(statistic.var(ddof=1))
    df = float(comparison.df.mean())
    if not np.isfinite(df):
        scale = max(mean, float(np.finfo(float).tiny))
        return NullDistribution(size, scale, _matched(scale, variance), blocks, blocks, "windows")
    scale = max(mean, df)
    # allows for the standard error of the variance, so that the distribution is not too narrow
    doubt = 1 + np.sqrt((2 + 12 / df) / blocks)
    spread = min(_matched(scale, variance) * doubt, df)
    freedom = max(blocks * df, 1.0)
    lower_bound = mean / df * freedom / float(special.chdtri(freedom, 1 - _SAMPLING_ALPHA))
    independent = lower_bound <= MOSTLY_SAMPLING and spread >= _NO_OUTLIERS * df
    basis: Basis = "sampling" if independent else "windows"
    return NullDistribution(size, scale, spread, blocks, blocks, basis, df)


def leave_one_out(values: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """float64[m] each: the weighted mean of all windows except one, and the distance of that one,
    in standard errors of rows whose standard deviation is 1.

    Parameters:
        values: float64[m], means over rows.
        rows: float64[m], of each.
    """
    other_rows = rows.sum() - rows
    other_means = (float(rows @ values) - rows * values) / other_rows
    return other_means, (values - other_means) / np.sqrt(1 / rows + 1 / other_rows)


def _matched(scale: float, variance: float) -> float:
    """Degrees of freedom k for which `scale` * chi-squared(k) / k has this variance."""
    return max(2 * scale**2 / variance, 0.1) if variance > 0 else 1.0


def _evenly_spaced(n: int, most: int) -> Ints:
    """At most `most` indices of n, evenly spaced."""
    if n <= most:
        return np.arange(n)
    return np.linspace(0, n - 1, most).round().astype(np.int64)
