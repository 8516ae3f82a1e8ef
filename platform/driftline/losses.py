"""Losses of single predictions with labels; the mean over events is the metric."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Metrics of labels that are 0 or 1.
YES_NO = frozenset({"auc", "brier", "log_loss"})

_CLIP = 1e-15


def log_loss(label: Floats, score: Floats) -> Floats:
    """float64[n], in nats, of labels 0 and 1 and scores from 0 to 1.

    >>> log_loss(np.array([1.0, 0.0]), np.array([0.5, 0.5])).round(3)
    array([0.693, 0.693])
    """
    clipped = np.clip(score, _CLIP, 1 - _CLIP)
    loss: Floats = -(label * np.log(clipped) + (1 - label) * np.log1p(-clipped))
    return loss


def squared(label: Floats, score: Floats) -> Floats:
    """float64[n]."""
    loss: Floats = (label - score) ** 2
    return loss


def absolute(label: Floats, score: Floats) -> Floats:
    """float64[n]."""
    loss: Floats = np.abs(label - score)
    return loss


#: By metric: the mean of the losses, or for rmse its square root.
LOSSES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "log_loss": log_loss,
    "brier": squared,
    "mae": absolute,
    "rmse": squared,
}
