"""Drift detected by a classifier that separates the window's rows from the reference's."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from driftline.monitors.raw_rows.encode import Encoder
from driftline.monitors.raw_rows.multivariate import MethodResult
from driftline.monitors.raw_rows.two_sample import Ranks, ranks
from driftline.profile.binning import Floats

_SEED = 0
Mask = npt.NDArray[np.bool_]


def compare(current: pa.Table, reference: pa.Table) -> MethodResult:
    """Cross-fitted AUC of a forest of random trees.

    One half of both samples is for training, the other is classified; then vice versa. Given the
    training half, the scores of the other half are independent of it, so the rank statistic has
    its usual null distribution for any classifier; the mean of the two has at most its variance.

    Parameters:
        current: n rows, reference: m rows, of any columns; the common ones are used.

    Returns:
        The AUC, 0.5 when nothing changed.

    Source: Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", 2017.
    """
    encoder = Encoder.of(current, reference)
    data = np.concatenate((encoder.codes(current), encoder.codes(reference)))
    is_current = np.arange(len(data)) < len(current)
    rng = np.random.default_rng(_SEED)
    half = np.zeros(len(data), dtype=bool)
    for rows in (np.flatnonzero(is_current), np.flatnonzero(~is_current)):
        half[rng.permutation(rows)[: len(rows) // 2]] = True
    folds = [_classify(data, is_current, train) for train in (half, ~half)]
    auc = float(np.mean([fold.auc for fold in folds]))
    z = float(np.mean([fold.z for fold in folds]))
    detail = f"a classifier separates them with AUC {auc:.3f}, 0.5 is chance"
    return MethodResult(auc, 0.5, max(z, 0.0) ** 2, len(encoder.columns), detail)


def _classify(data: Floats, is_current: Mask, train: Mask) -> Ranks:
    # one thread: on a busy machine trees that share threads wait for each other
    from sklearn.ensemble import ExtraTreesClassifier

    model = ExtraTreesClassifier(
        60, min_samples_leaf=10, max_features=None, class_weight="balanced", random_state=_SEED
    )
    model.fit(data[train], is_current[train])
    score = model.predict_proba(data[~train])[:, 1]
    current = is_current[~train]
    return ranks(score[current], score[~current])
