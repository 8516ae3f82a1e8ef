"""Which version scores which event: one champion, one challenger, any number of shadows."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from driftline.names import CHALLENGER, SHADOW
from driftline.registry.runtime import Runtime

_BUCKETS = 10_000  # a canary's share is whole hundredths of a percent


@dataclass(frozen=True)
class Served:
    """A loaded model version."""

    version: int
    runtime: Runtime


@dataclass(frozen=True)
class Lineup:
    """The versions that score a batch; a worker swaps the whole of it between two batches.

    Attributes:
        champion: serves.
        challenger: scores every event, and serves the canary's share of them.
        percent: of events that the challenger serves, 0 to 100.
        shadows: score every event, never serve.
        previous: the champion before, still loaded: the witness when a new one fails, and the
            one to go back to.
        proven: the champion has been champion before: nobody asks how long it takes.
    """

    champion: Served
    challenger: Served | None = None
    percent: float = 0.0
    shadows: tuple[Served, ...] = ()
    previous: Served | None = None
    proven: bool = False

    def others(self) -> list[tuple[str, Served]]:
        """Role and version of those that score beside the champion."""
        challenger = [] if self.challenger is None else [(CHALLENGER, self.challenger)]
        return challenger + [(SHADOW, served) for served in self.shadows]

    def loaded(self) -> dict[int, Served]:
        """All its versions, by number."""
        own = [self.champion, *(served for _, served in self.others())]
        kept = [] if self.previous is None else [self.previous]
        return {served.version: served for served in own + kept}

    def without(self, version: int) -> "Lineup":
        """The line-up when a version may not score any more.

        Raises:
            LookupError: it is the champion, and there is no other to take its place.
        """
        left = replace(self, shadows=tuple(s for s in self.shadows if s.version != version))
        if left.challenger is not None and left.challenger.version == version:
            left = replace(left, challenger=None, percent=0.0)
        if left.previous is not None and left.previous.version == version:
            left = replace(left, previous=None)
        if left.champion.version != version:
            return left
        if left.previous is None:
            raise LookupError(f"no version can serve in place of version {version}")
        return replace(left, champion=left.previous, previous=None)


def in_canary(event_ids: pa.Array, percent: float) -> NDArray[np.bool_]:
    """Which events a canary of some percent gets, bool[n]: always the same, and more with more.

    By a hash of the event's id, so that an event that is read again goes the same way.

    >>> in_canary(pa.array(["a", "b"]), 100.0)
    array([ True,  True])
    """
    if percent <= 0:
        return np.zeros(len(event_ids), dtype=np.bool_)
    ids: NDArray[Any] = event_ids.to_numpy(zero_copy_only=False)
    hashed = pd.util.hash_array(ids, categorize=False)
    return np.asarray(hashed % _BUCKETS < round(percent * _BUCKETS / 100))
