"""Drift of the correlations between columns, detected by PCA reconstruction errors."""

import numpy as np
import pyarrow as pa

from driftline.monitors.raw_rows.encode import Encoder
from driftline.monitors.raw_rows.multivariate import MethodResult
from driftline.monitors.raw_rows.two_sample import ranks
from driftline.profile.binning import Floats

_EXPLAINED = 0.8  # share of the variance; rows that do not fit show in the rest
_SEED = 0


def compare(current: pa.Table, reference: pa.Table) -> MethodResult:
    """Error of reconstructing rows from the reference's principal components.

    The components of one half of the reference are applied to the other half and to the window,
    whose errors are compared; then vice versa. Given the components all rows are exchangeable when
    nothing changed, so the rank statistic has its usual null distribution; two-sided.

    Parameters:
        current: n rows, reference: m rows, of any columns; the common ones are used.

    Returns:
        The mean squared error; expected: the reference's.

    Source: Jackson and Mudholkar, "Control procedures for residuals associated with principal
    component analysis", 1979.
    """
    encoder = Encoder.of(current, reference)
    window, base = encoder.features(current), encoder.features(reference)
    order = np.random.default_rng(_SEED).permutation(len(base))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    errors = [
        _errors(base[fitted], window, base[held_out]) for fitted, held_out in (halves, halves[::-1])
    ]
    z = float(np.mean([ranks(*pair).z for pair in errors]))
    value = float(np.mean([of_window.mean() for of_window, _ in errors]))
    expected = float(np.mean([of_base.mean() for _, of_base in errors]))
    detail = f"reconstruction error {value:.4g}, the reference's {expected:.4g}"
    return MethodResult(value, expected, z**2, len(encoder.columns), detail)


def _errors(fitted: Floats, *parts: Floats) -> tuple[Floats, Floats]:
    """The squared distance of each row from its projection on the components of `fitted`."""
    centre = fitted.mean(axis=0)
    _, size, directions = np.linalg.svd(fitted - centre, full_matrices=False)
    share = np.cumsum(size**2) / max(float((size**2).sum()), 1e-300)
    rank = min(int(np.searchsorted(share, _EXPLAINED)) + 1, max(len(share) - 1, 1))
    base, centred = directions[:rank], (part - centre for part in parts)
    first, second = (((x - x @ base.T @ base) ** 2).sum(axis=1) for x in centred)
    return first, second
