"""Two sets of scores against the same truth: the metric of each, and the error of the difference.

All differences are paired: what both versions find hard cancels out.
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
        worse_by: how much worse the candidate is, whichever direction is better.
        standard_error: of that difference, for independent events.
    """

    champion: float
    candidate: float
    worse_by: float
    standard_error: float


def compare(metric: Metric, label: Floats, champion: Floats, candidate: Floats) -> Comparison:
    """Compare two versions on the same n >= 1 events.

    Parameters:
        metric: `auc` is better when higher, the others when lower.
        label, champion, candidate: float64[n], finite.

    Raises:
        NotMeasurableError: labels other than 0 and 1, or only one of them, or a log-loss of
            scores outside 0 to 1, where the metric needs them.
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
    "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015, with bins of equal
    counts.

    Raises:
        NotMeasurableError: labels other than 0 and 1, or scores outside 0 to 1.
    """
    _require_binary("calibration", label)
    _require_probabilities("calibration", score)
    edges = np.unique(np.quantile(score, np.linspace(0, 1, _BINS + 1)[1:-1]))
    which = np.searchsorted(edges, score, side="right")
    gaps = np.bincount(which, weights=label - score)
    return float(np.abs(gaps).sum() / len(score))


def _mean(champion: Floats, candidate: Floats) -> Comparison:
    worse = candidate - champion
    return Comparison(
        float(champion.mean()), float(candidate.mean()), float(worse.mean()), _error(worse)
    )


def _rmse(label: Floats, champion: Floats, candidate: Floats) -> Comparison:
    """The error by the delta method: d sqrt(m) = d m / (2 sqrt(m))."""
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
        raise NotMeasurableError("auc needs labels of both classes, there is one")
    placed = [_placements(score, positive) for score in (champion, candidate)]
    areas = [float(of_positives.mean()) for of_positives, _ in placed]
    (champion_pos, champion_neg), (candidate_pos, candidate_neg) = placed
    error = float(
        np.hypot(_error(champion_pos - candidate_pos), _error(champion_neg - candidate_neg))
    )
    return Comparison(areas[0], areas[1], areas[0] - areas[1], error)


def _placements(score: Floats, positive: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it, for each negative of positives above."""
    ups, downs = np.sort(score[positive]), np.sort(score[~positive])

    def below(values: Floats, among: Floats) -> Floats:
        strictly = np.searchsorted(among, values, side="left")
        at_most = np.searchsorted(among, values, side="right")
        shares: Floats = (strictly + at_most) / (2 * len(among))
        return shares

    return below(score[positive], downs), 1 - below(score[~positive], ups)


def _error(values: Floats) -> float:
    """Standard error of a mean; of one value nothing is known."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("inf")


def _require_binary(metric: str, label: Floats) -> None:
    other = label[(label != 0) & (label != 1)]
    if len(other):
        raise NotMeasurableError(f"{metric} needs labels of 0 and 1, one is {other[0]:g}")


def _require_probabilities(metric: str, *scores: Floats) -> None:
    for score in scores:
        outside = score[(score < 0) | (score > 1)]
        if len(outside):
            raise NotMeasurableError(f"{metric} needs scores from 0 to 1, one is {outside[0]:g}")
