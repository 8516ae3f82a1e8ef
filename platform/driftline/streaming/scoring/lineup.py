"""The versions that score events: one champion, at most one challenger, any number of shadows."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from driftline.names import CHALLENGER, SHADOW
from driftline.registry.runtime import Runtime

_BUCKETS = 10_000  # a canary's share is in steps of 0.01 %


@dataclass(frozen=True)
class Served:
    """A loaded model version."""

    version: int
    runtime: Runtime


@dataclass(frozen=True)
class Lineup:
    """The versions that score a batch; a worker replaces the whole line-up between two batches.

    Attributes:
        champion: serves predictions.
        challenger: scores every event and serves the canary's share of them.
        percent: share of events that the challenger serves, 0 to 100.
        shadows: score every event and never serve.
        previous: the previous champion, still loaded: the baseline when a new one fails, and the
            version to roll back to.
        proven: the champion was champion before: its speed is not compared.
    """

    champion: Served
    challenger: Served | None = None
    percent: float = 0.0
    shadows: tuple[Served, ...] = ()
    previous: Served | None = None
    proven: bool = False

    def others(self) -> list[tuple[str, Served]]:
        """Role and version of those that score in addition to the champion."""
        challenger = [] if self.challenger is None else [(CHALLENGER, self.challenger)]
        return challenger + [(SHADOW, served) for served in self.shadows]

    def loaded(self) -> dict[int, Served]:
        """All versions of the line-up, by number."""
        scoring = [self.champion, *(served for _, served in self.others())]
        previous = [] if self.previous is None else [self.previous]
        return {served.version: served for served in scoring + previous}

    def without(self, version: int) -> "Lineup":
        """This line-up without a version; the previous champion takes the champion's place.

        Raises:
            LookupError: it is the champion, and no previous champion is loaded.
        """
        lineup = replace(self, shadows=tuple(s for s in self.shadows if s.version != version))
        if lineup.challenger is not None and lineup.challenger.version == version:
            lineup = replace(lineup, challenger=None, percent=0.0)
        if lineup.previous is not None and lineup.previous.version == version:
            lineup = replace(lineup, previous=None)
        if lineup.champion.version != version:
            return lineup
        if lineup.previous is None:
            raise LookupError(f"no version can serve in place of version {version}")
        return replace(lineup, champion=lineup.previous, previous=None)


def in_canary(event_ids: pa.Array, percent: float) -> NDArray[np.bool_]:
    """Mask of the events that a canary of this size serves, bool[n]; a larger canary adds events.

    Decided by a hash of the event's id, so an event that is read again goes to the same version.

    >>> in_canary(pa.array(["a", "b"]), 100.0)
    array([ True,  True])
    """
    if percent <= 0:
        return np.zeros(len(event_ids), dtype=np.bool_)
    ids: NDArray[Any] = event_ids.to_numpy(zero_copy_only=False)
    hashed = pd.util.hash_array(ids, categorize=False)
    return np.asarray(hashed % _BUCKETS < round(percent * _BUCKETS / 100))
