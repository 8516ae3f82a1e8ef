"""The evidence for the gates, collected by `driftline.registry.gates.gather`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from driftline.storage.versions.live_evidence import NO_PAIRS, Pairs

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Offline:
    """Both versions' scores of the labelled rows of one file.

    Attributes:
        label: float64[n].
        champion, candidate: float64[n]; NaN for rows without a finite score.
    """

    label: Floats
    champion: Floats
    candidate: Floats


@dataclass(frozen=True)
class Evidence:
    """The evidence about a candidate and the champion.

    Attributes:
        incompatible: why the candidate cannot serve the live features; None if it can.
        live: the latest live events that both have scored.
        labelled: the latest of those events that have a label.
        offline: the file's rows; the reason why there are none; or None if no gate needs them.
    """

    incompatible: str | None = None
    live: Pairs = NO_PAIRS
    labelled: Pairs = NO_PAIRS
    offline: Offline | str | None = None
