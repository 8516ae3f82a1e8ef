"""Metrics of two sets of scores with the same labels, and the standard error of their difference.

All differences are paired, so that the difficulty of an event cancels out.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from driftline.config import Metric
from driftline.errors import DriftlineError
from driftline.losses import LOSSES, YES_NO

Floats = npt.NDArray[np.float64]

_BINS = 15


class NotMeasurableError(DriftlineError):
    """The metric is not defined for these scores and labels."""


@dataclass(frozen=True)
class Comparison:
    """A metric of two versions.

    Attributes:
        champion, candidate: its values.
        worse_by: how much worse the candidate is, whether higher or lower values are better.
        standard_error: of that difference, for independent events.
    """

    champion: float
    candidate: float
    worse_by: float
    standard_error: float


def compare(metric: Metric, label: Floats, champion: Floats, candidate: Floats) -> Comparison:
    """Compare two versions on the same n >= 1 events.

    Parameters:
        metric: higher is better for `auc`, lower for all others.
        label, champion, candidate: float64[n], finite.

    Raises:
        NotMeasurableError: the metric needs labels of 0 and 1, or both of them, or scores from 0
            to 1, and gets others.
    """
    if metric in YES_NO:
        _require_binary(metric, label)
    if metric in ("log_loss", "brier"):
        _require_probabilities(metric, champion, candidate)
    if metric == "auc":
        return _auc(label, champion, candidate)
    if metric == "rmse":
        return _rmse(label, champion, candidate)
    loss = LOSSES[metric]
    return _mean(loss(label, champion), loss(label, candidate))


def calibration_error(label: Floats, score: Floats) -> float:
    """Expected calibration error: mean over events of |mean label - mean score| in their bin.

    15 bins of equal counts by score; equal scores share a bin. Naeini, Cooper and Hauskrecht,
    "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015 (there with bins of
    equal width).

    Raises:
        NotMeasurableError: labels other than 0 and 1, or scores outside 0 to 1.
    """
    _require_binary("calibration", label)
    _require_probabilities("calibration", score)
    edges = np.unique(np.quantile(score, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, score, side="right")
    gaps = np.bincount(bins, weights=label - score)
    return float(np.abs(gaps).sum() / len(score))


def _mean(champion: Floats, candidate: Floats) -> Comparison:
    worse = candidate - champion
    return Comparison(
        float(champion.mean()), float(candidate.mean()), float(worse.mean()), _error(worse)
    )


def _rmse(label: Floats, champion: Floats, candidate: Floats) -> Comparison:
    """The standard error by the delta method: d sqrt(m) = d m / (2 sqrt(m))."""
    squares = (champion - label) ** 2, (candidate - label) ** 2
    roots = [float(np.sqrt(square.mean())) for square in squares]
    first, second = (
        (square - root**2) / (2 * root) if root > 0 else np.zeros(len(label))
        for square, root in zip(squares, roots, strict=True)
    )
    return Comparison(roots[0], roots[1], roots[1] - roots[0], _error(second - first))


def _auc(label: Floats, champion: Floats, candidate: Floats) -> Comparison:
    """DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988): placements of both classes."""
    positive = label == 1
    if positive.all() or not positive.any():
        raise NotMeasurableError("auc needs labels of both classes, but there is only one")
    placements = [_placements(score, positive) for score in (champion, candidate)]
    areas = [float(of_positives.mean()) for of_positives, _ in placements]
    (champion_pos, champion_neg), (candidate_pos, candidate_neg) = placements
    error = float(
        np.hypot(_error(champion_pos - candidate_pos), _error(champion_neg - candidate_neg))
    )
    return Comparison(areas[0], areas[1], areas[0] - areas[1], error)


def _placements(score: Floats, positive: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Each positive's share of negatives below it, and each negative's share of positives above."""
    positives, negatives = np.sort(score[positive]), np.sort(score[~positive])

    def share_below(values: Floats, reference: Floats) -> Floats:
        less = np.searchsorted(reference, values, side="left")
        at_most = np.searchsorted(reference, values, side="right")
        shares: Floats = (less + at_most) / (2 * len(reference))
        return shares

    return share_below(score[positive], negatives), 1 - share_below(score[~positive], positives)


def _error(values: Floats) -> float:
    """Standard error of a mean; infinite for a single value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("inf")


def _require_binary(metric: str, label: Floats) -> None:
    invalid = label[(label != 0) & (label != 1)]
    if len(invalid):
        raise NotMeasurableError(f"{metric} needs labels of 0 and 1, but one is {invalid[0]:g}")


def _require_probabilities(metric: str, *scores: Floats) -> None:
    for score in scores:
        outside = score[(score < 0) | (score > 1)]
        if len(outside):
            raise NotMeasurableError(
                f"{metric} needs scores from 0 to 1, but one is {outside[0]:g}"
            )
