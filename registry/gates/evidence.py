"""What the gates judge: gathered by `driftline.registry.gates.gather`, judging is pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from driftline.storage.versions.live_evidence import NO_PAIRS, Pairs

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Offline:
    """Both versions' scores of the rows of one file that have a label.

    Attributes:
        label: float64[n].
        champion, candidate: float64[n]; NaN where a version gives no finite score.
    """

    label: Floats
    champion: Floats
    candidate: Floats


@dataclass(frozen=True)
class Evidence:
    """All that is known of a candidate against the champion.

    Attributes:
        incompatible: why the version cannot serve the live features; None when it can.
        live: the latest live events that both have scored.
        labelled: the latest of those whose label is known.
        offline: the file's rows; the reason why there are none; or None when nobody asks.
    """

    incompatible: str | None = None
    live: Pairs = NO_PAIRS
    labelled: Pairs = NO_PAIRS
    offline: Offline | str | None = None
