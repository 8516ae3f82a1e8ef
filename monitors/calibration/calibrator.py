"""Find the law of a statistic from the reference's own windows."""

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
from driftline.monitors.calibration.budget import Look
from driftline.monitors.calibration.excess import Excess
from driftline.monitors.calibration.null import MOSTLY_SAMPLING, Basis, Null, freedom
from driftline.monitors.calibration.reference import Blocks, Reference, left_out
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import Comparison, Dispersed, Monitor
from driftline.profile.binning import Floats, Ints
from driftline.storage.monitoring.calibrations import Key, Law

_METHOD = 5  # grows when the same windows would give other laws
SMALLEST = 50.0  # rows; the smallest size of window that a law is found for
_STEP = np.sqrt(2.0)  # from one size to the next
FEWEST = 8  # windows that say something of variation
_MOST = 600  # windows of a reference that are compared; more take time and add little
_SURE = 0.05  # doubt with which a spread is mostly that of independent rows ...
_NO_OUTLIERS = 0.4  # ... unless a few windows stand out, so that fewer degrees of freedom fit
_DECLARED_BLOCKS = 10.0  # degrees of freedom of a variation that was only declared


def sizes_up_to(rows: float) -> Floats:
    """The sizes that laws are found at: 50, 71, 100, ..., at most `rows`."""
    if rows < SMALLEST:
        return np.array([max(rows, 1.0)])
    steps = int(np.floor(np.log(rows / SMALLEST) / np.log(_STEP) + 1e-9))
    sizes: Floats = SMALLEST * _STEP ** np.arange(steps + 1)
    return sizes


@dataclass(frozen=True)
class Calibrator:
    """The laws of one reference; each is found when it is first asked for, and kept.

    Attributes:
        settings: how the model is watched.
        reference: what its windows are compared with.
    """

    settings: Monitors
    reference: Reference
    _found: dict[Key, Null | None] = field(default_factory=dict)
    _last: dict[tuple[str, int], tuple[Counts, Counts]] = field(default_factory=dict)

    def null(
        self, monitor: Monitor, look: Look, rows: float, df: float, level: float
    ) -> Null | None:
        """The law for a window of so many rows; for a large one that the reference cannot speak
        of at this level, the law of the largest size that it can, to which the window is scaled.

        Args:
            look: which column, in windows of which length.
            rows: what `monitor.sizes` says of the window.
            df: degrees of freedom of the statistic for independent rows; NaN when not known.
            level: the false-alarm rate that is wanted.

        Returns:
            None when the monitor has no law without windows of the reference, and there are none.
        """
        if not self.reference.knows(look.seconds):
            return self._declared(monitor, rows, df)
        sizes = sizes_up_to(rows).tolist()
        inside = bisect_right(sizes, self.reference.largest(look.seconds))
        beyond = self._supported(monitor, look, sizes[inside:], level)
        best: Null | None = None
        for size in (*beyond[-1:], *sizes[:inside][::-1]):
            null = self._at(monitor, look, size)
            if null is None:
                continue
            best = null
            if null.attainable <= level:
                break
        declared = self._declared(monitor, rows, df)
        if best is None:
            return declared
        best = best.resized(min(rows, best.size * _STEP), df)
        if declared is None or len(sizes) == inside:
            return best
        vaguer = best.threshold(level) / best.size > declared.threshold(level) / rows
        return declared if (vaguer or best.attainable > level) and not best.differs else best

    def _supported(
        self, monitor: Monitor, look: Look, sizes: Sequence[float], level: float
    ) -> Sequence[float]:
        """Those of ascending sizes that the reference can speak of at a level."""

        def unsupported(size: float) -> bool:
            null = self._at(monitor, look, size)
            return null is None or null.attainable > level

        return sizes[: bisect_left(sizes, True, key=unsupported)]

    def variation(self, monitor: Monitor, column: str, seconds: int) -> tuple[float, float] | None:
        """How much neighbouring windows of the reference resemble each other: the long-run
        variance of their signed effects over its variance, and how many windows there are."""
        pairs = self._pairs(column, seconds)
        if pairs is None:
            return None
        counts, rest = pairs
        usable = _usable(monitor, counts, rest, SMALLEST)
        if len(usable) < FEWEST:
            return None
        found = monitor.compare(counts.take(usable), rest.take(usable))
        signed = found.sign * np.sqrt(np.maximum(found.statistic, 0.0))
        return inflation(signed), float(len(usable))

    def release(self) -> None:
        """Let go of the reference's windows, which only new laws need, and comparisons by time."""
        self._last.clear()
        if self.settings.matching == "none":
            self.reference.release()

    @property
    def digest(self) -> str:
        """Of all but the reference that the laws depend on."""
        text = f"{_METHOD} {self.settings.matching} {self.settings.block}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def remember(self, laws: Mapping[Key, Law]) -> None:
        """Laws that were found before, of the same reference and digest."""
        self._found.update({key: None if law is None else Null(**law) for key, law in laws.items()})

    def found(self, known: Collection[Key] = ()) -> dict[Key, Law]:
        """The laws that were found or remembered, without known ones."""
        return {
            key: None if null is None else null.to_dict()
            for key, null in self._found.items()
            if key not in known
        }

    def _declared(self, monitor: Monitor, rows: float, df: float) -> Null | None:
        """The law of a declared variation between windows, in standard deviations."""
        if not np.isfinite(df):
            return None
        scale = df + (rows * self.settings.variation**2 if monitor.varies else 0.0)
        return Null(rows, scale, freedom(df, scale), _DECLARED_BLOCKS, 0.0, "declared", df)

    def _at(self, monitor: Monitor, look: Look, size: float) -> Null | None:
        key = Key(monitor.name, look.column, look.seconds, size)
        if key not in self._found:
            found = None
            if size <= self.reference.largest(look.seconds):
                found = self._find(monitor, look.column, look.seconds, size)
            if found is None and (excess := self._excess(monitor, look, size)) is not None:
                found = excess.null(size, self.settings.variation**2)
            self._found[key] = found
        return self._found[key]

    def _excess(self, monitor: Monitor, look: Look, rows: float) -> Excess | None:
        """What the reference's windows differ by, at all rows that they have, in the cells that
        suit windows of so many rows; None when it does not show it."""
        pairs = self._pairs(look.column, look.seconds)
        if pairs is None or not isinstance(monitor, Dispersed):
            return None
        counts, rest = pairs
        usable = _usable(monitor, counts, rest, 1.0)
        some = usable[_spread(len(usable), _MOST)]
        squares, df = monitor.dispersion(counts.take(some), rest.take(some), rows)
        known = np.isfinite(squares)
        if known.sum() < FEWEST or df < 1:
            return None
        return Excess.of(squares[known], monitor.sizes(counts)[some][known], df)

    def _find(self, monitor: Monitor, column: str, seconds: int, size: float) -> Null | None:
        pairs = self._pairs(column, seconds)
        if pairs is None:
            return None
        counts, rest = pairs
        rows = monitor.sizes(counts)
        usable = _usable(monitor, counts, rest, size)
        if len(usable) < FEWEST:
            return None
        some = usable[_spread(len(usable), _MOST)]
        rng = np.random.default_rng(zlib.crc32(f"{column}/{monitor.name}/{seconds}".encode()))
        thinned = counts.take(some).thinned(size / rows[some], rng)
        left = np.flatnonzero(monitor.sizes(thinned))  # of one row, some are none
        return fit(monitor.compare(thinned.take(left), rest.take(some[left])), size, len(usable))

    def _pairs(self, column: str, seconds: int) -> tuple[Counts, Counts] | None:
        """A column of the reference's windows, and of the reference without each one's block.

        Only the last column is kept: all monitors of a column follow one another."""
        key = (column, seconds)
        if key not in self._last:
            self._last.clear()
            windows = self.reference.windows(seconds)
            if windows is None:
                return None
            counts = Counts.of_many(self.reference.binning, windows.counts, windows.sums, column)
            block = self._block(windows, seconds)
            self._last[key] = counts, left_out(windows, counts, block, self.settings.matching)
        return self._last[key]

    def _block(self, windows: Blocks, seconds: int) -> timedelta:
        """What is left out together: the configured block, or a day or a window when the
        reference has fewer than four."""
        span = int(windows.starts[-1] - windows.starts[0]) + seconds
        block = int(self.settings.block.total_seconds())
        while block > seconds and span < 4 * block:
            block = max(block // 7, seconds)
        return timedelta(seconds=block)


def _usable(monitor: Monitor, counts: Counts, rest: Counts, rows: float) -> Ints:
    """The windows with so many rows that have something to be compared with: when windows of one
    time of the week are matched, a short reference has none beside some."""
    return np.flatnonzero((monitor.sizes(counts) >= rows) & (monitor.sizes(rest) > 0))


def fit(found: Comparison, size: float, windows: int) -> Null | None:
    """The law that windows of a reference show, each compared with the others.

    Args:
        found: m comparisons, in order of time.
        size: rows of each.
        windows: how many the m were chosen from.
    """
    statistic = found.statistic[np.isfinite(found.statistic)]
    if len(statistic) < FEWEST:
        return None
    signed = found.sign * np.sqrt(np.maximum(found.statistic, 0.0))
    # the more strongly neighbours resemble each other, the fewer windows there really are
    alike = max(inflation(found.statistic), inflation(signed) ** 0.5)
    blocks = max(min(windows / alike, float(windows)), 1.0)
    mean, variance = float(statistic.mean()), float(statistic.var(ddof=1))
    df = float(found.df.mean())
    if not np.isfinite(df):
        scale = max(mean, float(np.finfo(float).tiny))
        return Null(size, scale, _matched(scale, variance), blocks, blocks, "windows")
    scale = max(mean, df)
    # a variance is known to one standard error only: a law is not spread for less than that
    doubt = 1 + np.sqrt((2 + 12 / df) / blocks)
    spread = min(_matched(scale, variance) * doubt, df)
    freedom = max(blocks * df, 1.0)
    surely = mean / df * freedom / float(special.chdtri(freedom, 1 - _SURE))
    independent = surely <= MOSTLY_SAMPLING and spread >= _NO_OUTLIERS * df
    basis: Basis = "sampling" if independent else "windows"
    return Null(size, scale, spread, blocks, blocks, basis, df)


def each_with_the_others(values: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """float64[m] each: the weighted mean of all windows but one, and how far that one is from it,
    in standard errors of rows whose standard deviation is 1.

    Args:
        values: float64[m], means over rows.
        rows: float64[m], of each.
    """
    rest = rows.sum() - rows
    others = (float(rows @ values) - rows * values) / rest
    return others, (values - others) / np.sqrt(1 / rows + 1 / rest)


def _matched(scale: float, variance: float) -> float:
    """Degrees of freedom of a chi-squared law, divided by them and times `scale`, that has this
    variance."""
    return max(2 * scale**2 / variance, 0.1) if variance > 0 else 1.0


def _spread(n: int, most: int) -> Ints:
    """At most so many of n, evenly."""
    if n <= most:
        return np.arange(n)
    return np.linspace(0, n - 1, most).round().astype(np.int64)
