"""A metric of scores against labels, with its standard error for independent events."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from driftline.config import Metric
from driftline.errors import DriftlineError
from driftline.losses import LOSSES, YES_NO
from driftline.monitors.columns.monitor import number
from driftline.profile.binning import Floats

_MIN_EVENTS = 10.0  # positives and negatives, below which an AUC is not about normal
_Z = 1.96


class NotMeasurableError(DriftlineError):
    """The metric is not defined for these scores and labels."""


@dataclass(frozen=True)
class Measured:
    """A metric measured on n events.

    Attributes:
        value: in the metric's own unit.
        error: its standard error.
        rows: n; for estimates, which have no labels, all rows.
    """

    metric: Metric
    value: float
    error: float
    rows: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval, within the range of the metric."""
        low, high = self.value - _Z * self.error, self.value + _Z * self.error
        return max(low, 0.0), min(high, 1.0) if self.metric == "auc" else high

    def __str__(self) -> str:
        low, high = map(number, self.interval)
        return f"{self.metric} {number(self.value)} (95 %: {low} to {high})"


def worse(metric: Metric) -> int:
    """1 when larger values are worse, else -1."""
    return -1 if metric == "auc" else 1


def measure(metric: Metric, label: Floats, score: Floats) -> Measured:
    """The metric of n >= 1 events.

    Parameters:
        label, score: float64[n], finite.

    Raises:
        NotMeasurableError: the metric needs labels of 0 and 1, more of either, or scores from 0 to
            1.

    >>> label = np.repeat([0.0, 1.0], 50)
    >>> str(measure("brier", label, np.full(100, 0.5)))
    'brier 0.25 (95 %: 0.25 to 0.25)'
    """
    if metric in YES_NO and not np.isin(label, (0, 1)).all():
        raise NotMeasurableError(f"{metric} needs labels of 0 and 1, but there are others")
    if metric == "auc":
        return _auc(label > 0, score)
    if metric == "log_loss" and (score.min() < 0 or score.max() > 1):
        raise NotMeasurableError("log_loss needs scores from 0 to 1, but there are others")
    loss = LOSSES[metric](label, score)
    return of_losses(metric, float(loss.mean()), float(loss.var()), len(loss))


def of_losses(metric: Metric, mean: float, variance: float, rows: int) -> Measured:
    """A metric that is a mean over events, or its root; its error is by the delta method."""
    error = float(np.sqrt(max(variance, 0.0) / max(rows - 1, 1)))
    if metric != "rmse":
        return Measured(metric, mean, error, rows)
    root = float(np.sqrt(mean))
    return Measured(metric, root, error / (2 * root) if root > 0 else 0.0, rows)


def of_auc(auc: float, positives: float, negatives: float) -> Measured:
    """An area under the ROC curve, with the error of Hanley and McNeil, Radiology 143 (1982) 29.

    Parameters:
        auc: the area.
        positives, negatives: numbers of events; the expected ones of an estimate are fractions.

    Raises:
        NotMeasurableError: too few positives or negatives.

    >>> str(of_auc(0.9, 100, 900))
    'auc 0.9 (95 %: 0.8591 to 0.9409)'
    """
    n, m = positives, negatives
    if min(n, m) < _MIN_EVENTS:
        counts = f"{n:,.0f} positive and {m:,.0f} negative labels"
        raise NotMeasurableError(f"{counts}: auc needs {_MIN_EVENTS:.0f} of each")
    two_positives = auc / (2 - auc) - auc**2
    two_negatives = 2 * auc**2 / (1 + auc) - auc**2
    variance = (auc * (1 - auc) + (n - 1) * two_positives + (m - 1) * two_negatives) / (n * m)
    return Measured("auc", auc, float(np.sqrt(max(variance, 0.0))), round(n + m))


def _auc(is_positive: npt.NDArray[np.bool_], score: Floats) -> Measured:
    n = int(is_positive.sum())
    m = len(is_positive) - n
    above = float(stats.rankdata(score)[is_positive].sum()) - n * (n + 1) / 2
    return of_auc(above / max(n * m, 1), n, m)
