"""Performance before labels come, from the distribution of scores alone.

Of a truth of yes and no: when the chance of yes is known at each score, so is what a metric will be
(confidence-based performance estimation, CBPE: NannyML's documentation, "Estimation of Performance
of the Monitored Model", 2022). Of a number: the mean loss at each score that labels have shown
(direct loss estimation, in its simplest form).

Both say what a change of the scores costs while each score means what it meant. They don't see a
truth that means something else now: that takes labels. A window costs as much as its profile has
cells, whatever its traffic.
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

_GROUPS = 5  # a level of the bins: labels of about 32 groups of scores are averaged
_PRIOR = 10.0  # labels that each group is taken to have beside its own, with the mean of all


@dataclass(frozen=True, eq=False)
class Chances:
    """The chance of yes at each score.

    Attributes:
        metric: what is estimated.
        labels: how many it was learnt from.
        chance: float64[bins + 2] of the score's value cells; None: the scores are taken for it.
    """

    metric: Metric
    labels: int = 0
    chance: Floats | None = None

    @classmethod
    def of(cls, metric: Metric, bins: NumericBins, label: Floats, score: Floats) -> "Chances":
        """Learn it from labels: their share of yes in each bin, made monotonic in the score.

        Isotonic regression: Zadrozny and Elkan, "Transforming classifier scores into accurate
        multiclass probability estimates", KDD 2002.

        Args:
            label: float64[n], 0 or 1.
            score: float64[n], finite.
        """
        place = _places(bins, score)
        n = np.bincount(place, minlength=bins.summed)
        yes = np.bincount(place, weights=label, minlength=bins.summed)
        known = np.flatnonzero(n)
        rising = isotonic_regression(yes[known] / n[known], weights=n[known]).x
        return cls(metric, len(label), np.interp(np.arange(bins.summed), known, rising))

    def estimate(self, column: ColumnProfile) -> Measured:
        """The metric that rows with these scores should have.

        Args:
            column: the score.

        Raises:
            NotMeasurableError: too few of either truth are expected for an AUC, or scores that are
                no chances are taken for them.
        """
        n, score = _filled(column)
        chance = score if self.chance is None else self.chance[column.values > 0]
        if self.chance is None and (score.min() < 0 or score.max() > 1):
            raise NotMeasurableError("no labels yet, and scores outside 0 to 1 are no chances")
        if self.metric == "auc":
            return _expected_auc(n * chance, n * (1 - chance))
        loss = LOSSES[self.metric]
        if_yes, if_no = (loss(np.full(len(score), truth), score) for truth in (1.0, 0.0))
        mean = _mean(n, chance * if_yes + (1 - chance) * if_no)
        square = _mean(n, chance * if_yes**2 + (1 - chance) * if_no**2)
        return of_losses(self.metric, mean, square - mean**2, int(n.sum()))


@dataclass(frozen=True, eq=False)
class Losses:
    """The mean loss at each score.

    Attributes:
        metric: what is estimated.
        labels: how many it was learnt from.
        mean, square: float64[bins + 2] of the score's value cells: of the loss, and of its square.
    """

    metric: Metric
    labels: int
    mean: Floats
    square: Floats

    @classmethod
    def of(cls, metric: Metric, bins: NumericBins, label: Floats, score: Floats) -> "Losses":
        """Learn it from labels: means of groups of neighbouring scores, drawn to the mean of all
        where a group has few.

        Args:
            label, score: float64[n], finite.
        """
        place, loss = _places(bins, score), LOSSES[metric](label, score)
        starts = np.concatenate(([0], bins.starts(_GROUPS) + 1, [bins.bins + 1]))
        group = np.searchsorted(starts, np.arange(bins.summed), side="right") - 1
        n = np.bincount(group[place], minlength=len(starts))

        def mean(values: Floats) -> Floats:
            sums = np.bincount(group[place], weights=values, minlength=len(starts))
            drawn: Floats = ((sums + _PRIOR * values.mean()) / (n + _PRIOR))[group]
            return drawn

        return cls(metric, len(label), mean(loss), mean(loss**2))

    def estimate(self, column: ColumnProfile) -> Measured:
        """As of `Chances`."""
        n, _ = _filled(column)
        used = column.values > 0
        mean, square = _mean(n, self.mean[used]), _mean(n, self.square[used])
        return of_losses(self.metric, mean, square - mean**2, int(n.sum()))


Calibration = Chances | Losses


def name(metric: Metric) -> str:
    """The monitor's."""
    return f"estimated_{metric}"


def judge(
    calibration: Calibration, column: ColumnProfile, reference: ColumnProfile | None, version: int
) -> Verdict:
    """Estimate a window's performance; it is shown.

    It depends on the scores alone, and their drift is judged already: one more look at the same
    change would only take from the budget.

    Args:
        column: the score in the window.
        reference: the score in the reference; None when there is none in the same bins.
        version: whose scores they are.
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
        found = calibration.estimate(column)
        expected = None if reference is None else calibration.estimate(reference).value
    except NotMeasurableError as error:
        return replace(empty, status="insufficient", detail=str(error))
    basis = f"calibrated by {calibration.labels:,} labels"
    if not calibration.labels:
        basis = "no labels yet, scores are taken for chances"
    usual = "" if expected is None else f", {number(expected)} on the reference"
    detail = f"{found}{usual}; {basis}"
    return replace(empty, status="shown", value=found.value, expected=expected, detail=detail)


def _expected_auc(yes: Floats, no: Floats) -> Measured:
    """Of the expected events of either truth in each cell, ascending; an event is not compared
    with itself."""
    itself = float((yes * no / np.maximum(yes + no, 1.0)).sum())
    below = np.cumsum(no) - no / 2
    pairs = max(float(yes.sum() * no.sum()) - itself, 1.0)
    auc = (float(yes @ below) - itself / 2) / pairs
    return of_auc(auc, float(yes.sum()), float(no.sum()))


def _places(bins: NumericBins, score: Floats) -> Ints:
    """int64[n], the value cell of each score."""
    return np.searchsorted(np.array(bins.edges), score, side="right")


def _filled(column: ColumnProfile) -> tuple[Floats, Floats]:
    """The rows and the mean score of each cell that has some."""
    used = column.values > 0
    return column.values[used].astype(np.float64), column.centres[used]


def _mean(n: Floats, values: Floats) -> float:
    return float(n @ values / n.sum())
