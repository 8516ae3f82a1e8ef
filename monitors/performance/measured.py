"""A metric of scores against the truth, with its standard error for independent events."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from driftline.config import Metric
from driftline.errors import DriftlineError
from driftline.losses import LOSSES, YES_NO
from driftline.monitors.columns.monitor import number
from driftline.profile.binning import Floats

_EACH = 10.0  # events of either truth, below which an AUC has no normal law
_Z = 1.96


class NotMeasurableError(DriftlineError):
    """The metric is not defined for these scores and labels."""


@dataclass(frozen=True)
class Measured:
    """A metric of n events.

    Attributes:
        value: in the metric's own unit.
        error: its standard error.
        rows: n; estimates have no labels, and count all rows.
    """

    metric: Metric
    value: float
    error: float
    rows: int

    @property
    def interval(self) -> tuple[float, float]:
        """At 95 %, within what the metric can be."""
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

    Args:
        label, score: float64[n], finite.

    Raises:
        NotMeasurableError: labels other than 0 and 1, too few of either, or scores outside 0 to 1,
            where the metric needs them.

    >>> label = np.repeat([0.0, 1.0], 50)
    >>> str(measure("brier", label, np.full(100, 0.5)))
    'brier 0.25 (95 %: 0.25 to 0.25)'
    """
    if metric in YES_NO and not np.isin(label, (0, 1)).all():
        raise NotMeasurableError(f"{metric} needs labels of 0 and 1, there are others")
    if metric == "auc":
        return _auc(label > 0, score)
    if metric == "log_loss" and (score.min() < 0 or score.max() > 1):
        raise NotMeasurableError("log_loss needs scores from 0 to 1, there are others")
    loss = LOSSES[metric](label, score)
    return of_losses(metric, float(loss.mean()), float(loss.var()), len(loss))


def of_losses(metric: Metric, mean: float, variance: float, rows: int) -> Measured:
    """A metric that is a mean over events, or the root of one: its error by the delta method."""
    error = float(np.sqrt(max(variance, 0.0) / max(rows - 1, 1)))
    if metric != "rmse":
        return Measured(metric, mean, error, rows)
    root = float(np.sqrt(mean))
    return Measured(metric, root, error / (2 * root) if root > 0 else 0.0, rows)


def of_auc(auc: float, yes: float, no: float) -> Measured:
    """An area with the error of Hanley and McNeil, Radiology 143 (1982) 29.

    Args:
        auc: the area.
        yes, no: how many events of either truth; expected ones of an estimate are fractions.

    Raises:
        NotMeasurableError: too few of either.

    >>> str(of_auc(0.9, 100, 900))
    'auc 0.9 (95 %: 0.8591 to 0.9409)'
    """
    if min(yes, no) < _EACH:
        what = f"{yes:,.0f} events are yes, {no:,.0f} are no"
        raise NotMeasurableError(f"{what}: auc needs {_EACH:.0f} of either")
    both_yes = auc / (2 - auc) - auc**2
    both_no = 2 * auc**2 / (1 + auc) - auc**2
    variance = (auc * (1 - auc) + (yes - 1) * both_yes + (no - 1) * both_no) / (yes * no)
    return Measured("auc", auc, float(np.sqrt(max(variance, 0.0))), round(yes + no))


def _auc(yes: npt.NDArray[np.bool_], score: Floats) -> Measured:
    n = int(yes.sum())
    m = len(yes) - n
    above = float(stats.rankdata(score)[yes].sum()) - n * (n + 1) / 2
    return of_auc(above / max(n * m, 1), n, m)
