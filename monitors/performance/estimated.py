"""Performance before labels arrive, estimated from the distribution of scores.

For binary labels: the probability of a positive at each score determines the expected metric
(confidence-based performance estimation, CBPE: NannyML's documentation, "Estimation of Performance
of the Monitored Model", 2022). For numeric labels: the mean loss at each score, learned from
earlier labels (direct loss estimation, in its simplest form).

Both estimate the effect of a change of the scores while labels given the score are distributed as
before. They cannot detect concept drift: that needs labels. The cost depends on the number of cells
in a window's profile, not on its traffic.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import isotonic_regression

from driftline import names
from driftline.config import Metric
from driftline.losses import LOSSES
from driftline.monitors.columns.monitor import number
from driftline.monitors.performance.measured import Measured, NotMeasurableError, of_auc, of_losses
from driftline.monitors.windows.verdict import Verdict
from driftline.profile.binning import Floats, Ints, NumericBins
from driftline.profile.profile import ColumnProfile

_GROUPS = 5  # level of the bins: labels are averaged over about 32 groups of scores
_PRIOR = 10.0  # pseudo-labels added to each group, with the mean of all


@dataclass(frozen=True, eq=False)
class Chances:
    """The probability of a positive at each score.

    Attributes:
        metric: the estimated metric.
        labels: the number of labels that it was learned from.
        chance: float64[bins + 2] of the score's value cells; None: the scores themselves.
    """

    metric: Metric
    labels: int = 0
    chance: Floats | None = None

    @classmethod
    def of(cls, metric: Metric, bins: NumericBins, label: Floats, score: Floats) -> "Chances":
        """Learn it from labels: the share of positives in each bin, made monotonic in the score.

        Isotonic regression: Zadrozny and Elkan, "Transforming classifier scores into accurate
        multiclass probability estimates", KDD 2002.

        Parameters:
            label: float64[n], 0 or 1.
            score: float64[n], finite.
        """
        cell = _cells(bins, score)
        n = np.bincount(cell, minlength=bins.summed)
        positives = np.bincount(cell, weights=label, minlength=bins.summed)
        filled = np.flatnonzero(n)
        rising = isotonic_regression(positives[filled] / n[filled], weights=n[filled]).x
        return cls(metric, len(label), np.interp(np.arange(bins.summed), filled, rising))

    def estimate(self, column: ColumnProfile) -> Measured:
        """The expected metric of rows with these scores.

        Parameters:
            column: the score.

        Raises:
            NotMeasurableError: too few positives or negatives are expected for an AUC, or scores
                that are not probabilities are used as such.
        """
        n, score = _filled(column)
        chance = score if self.chance is None else self.chance[column.values > 0]
        if self.chance is None and (score.min() < 0 or score.max() > 1):
            raise NotMeasurableError("no labels yet, and scores outside 0 to 1: no probabilities")
        if self.metric == "auc":
            return _expected_auc(n * chance, n * (1 - chance))
        loss = LOSSES[self.metric]
        if_positive, if_negative = (loss(np.full(len(score), y), score) for y in (1.0, 0.0))
        mean = _mean(n, chance * if_positive + (1 - chance) * if_negative)
        square = _mean(n, chance * if_positive**2 + (1 - chance) * if_negative**2)
        return of_losses(self.metric, mean, square - mean**2, int(n.sum()))


@dataclass(frozen=True, eq=False)
class Losses:
    """The mean loss at each score.

    Attributes:
        metric: the estimated metric.
        labels: the number of labels that it was learned from.
        mean, square: float64[bins + 2] of the score's value cells: of the loss, of its square.
    """

    metric: Metric
    labels: int
    mean: Floats
    square: Floats

    @classmethod
    def of(cls, metric: Metric, bins: NumericBins, label: Floats, score: Floats) -> "Losses":
        """Learn it from labels: means of groups of adjacent scores, shrunk to the overall mean
        where a group has few labels.

        Parameters:
            label, score: float64[n], finite.
        """
        cell, loss = _cells(bins, score), LOSSES[metric](label, score)
        starts = np.concatenate(([0], bins.starts(_GROUPS) + 1, [bins.bins + 1]))
        group = np.searchsorted(starts, np.arange(bins.summed), side="right") - 1
        n = np.bincount(group[cell], minlength=len(starts))

        def mean(values: Floats) -> Floats:
            sums = np.bincount(group[cell], weights=values, minlength=len(starts))
            shrunk: Floats = ((sums + _PRIOR * values.mean()) / (n + _PRIOR))[group]
            return shrunk

        return cls(metric, len(label), mean(loss), mean(loss**2))

    def estimate(self, column: ColumnProfile) -> Measured:
        """See `Chances.estimate`."""
        n, _ = _filled(column)
        used = column.values > 0
        mean, square = _mean(n, self.mean[used]), _mean(n, self.square[used])
        return of_losses(self.metric, mean, square - mean**2, int(n.sum()))


Calibration = Chances | Losses


def name(metric: Metric) -> str:
    """The name of the monitor."""
    return f"estimated_{metric}"


def judge(
    calibration: Calibration, column: ColumnProfile, reference: ColumnProfile | None, version: int
) -> Verdict:
    """Estimate a window's performance; it is only shown.

    It depends on the scores alone, whose drift is tested already: another test of the same change
    would only spend alpha.

    Parameters:
        column: the score in the window.
        reference: the score in the reference; None without a reference in the same bins.
        version: the model version of the scores.
    """
    rows = int(column.values.sum())
    empty = Verdict(
        name(calibration.metric),
        "performance",
        names.SCORE,
        "no_data",
        rows,
        alerts=False,
        version=version,
    )
    if not rows:
        return empty
    try:
        estimate = calibration.estimate(column)
        expected = None if reference is None else calibration.estimate(reference).value
    except NotMeasurableError as error:
        return replace(empty, status="insufficient", detail=str(error))
    basis = f"calibrated by {calibration.labels:,} labels"
    if not calibration.labels:
        basis = "no labels yet, scores are used as probabilities"
    comparison = "" if expected is None else f", {number(expected)} on the reference"
    detail = f"{estimate}{comparison}; {basis}"
    return replace(empty, status="shown", value=estimate.value, expected=expected, detail=detail)


def _expected_auc(positives: Floats, negatives: Floats) -> Measured:
    """From the expected positives and negatives per cell, ascending; no event is compared with
    itself."""
    self_pairs = float((positives * negatives / np.maximum(positives + negatives, 1.0)).sum())
    below = np.cumsum(negatives) - negatives / 2
    pairs = max(float(positives.sum() * negatives.sum()) - self_pairs, 1.0)
    auc = (float(positives @ below) - self_pairs / 2) / pairs
    return of_auc(auc, float(positives.sum()), float(negatives.sum()))


def _cells(bins: NumericBins, score: Floats) -> Ints:
    """int64[n], the value cell of each score."""
    return np.searchsorted(np.array(bins.edges), score, side="right")


def _filled(column: ColumnProfile) -> tuple[Floats, Floats]:
    """The rows and the mean score of each nonempty cell."""
    used = column.values > 0
    return column.values[used].astype(np.float64), column.centres[used]


def _mean(n: Floats, values: Floats) -> float:
    return float(n @ values / n.sum())
