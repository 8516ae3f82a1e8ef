"""Do the window's rows still lie where the reference's do? Columns that went together, apart."""

import numpy as np
import pyarrow as pa

from driftline.monitors.raw_rows.encode import Encoder
from driftline.monitors.raw_rows.multivariate import Found
from driftline.monitors.raw_rows.two_sample import ranks
from driftline.profile.binning import Floats

_KEPT = 0.8  # of the variance; what is not kept is where rows that do not fit show
_SEED = 0


def compare(current: pa.Table, reference: pa.Table) -> Found:
    """Error of putting rows together again from the reference's main directions.

    One half of the reference gives the directions, the other half's errors are compared with the
    window's; then the other way round. Given the directions all rows are alike when nothing
    changed, so the rank statistic has its known law; errors may grow or shrink.

    Parameters:
        current: n rows, reference: m rows, of any columns; those that both have are used.

    Returns:
        The mean squared error, expected: the reference's.

    Source: Jackson and Mudholkar, "Control procedures for residuals associated with principal
    component analysis", 1979.
    """
    encoder = Encoder.of(current, reference)
    now, before = encoder.features(current), encoder.features(reference)
    order = np.random.default_rng(_SEED).permutation(len(before))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    errors = [
        _errors(before[learned], now, before[kept]) for learned, kept in (halves, halves[::-1])
    ]
    z = float(np.mean([ranks(*pair).z for pair in errors]))
    value = float(np.mean([one.mean() for one, _ in errors]))
    expected = float(np.mean([other.mean() for _, other in errors]))
    detail = f"reconstruction error {value:.4g}, the reference's {expected:.4g}"
    return Found(value, expected, z**2, len(encoder.columns), detail)


def _errors(learned: Floats, *parts: Floats) -> tuple[Floats, Floats]:
    """The squared distance of each row from what the main directions of `learned` make of it."""
    centre = learned.mean(axis=0)
    _, size, directions = np.linalg.svd(learned - centre, full_matrices=False)
    share = np.cumsum(size**2) / max(float((size**2).sum()), 1e-300)
    kept = directions[: min(int(np.searchsorted(share, _KEPT)) + 1, max(len(share) - 1, 1))]
    one, other = (
        (((part - centre) - (part - centre) @ kept.T @ kept) ** 2).sum(axis=1) for part in parts
    )
    return one, other
