"""Which version takes far longer than another one for the same rows."""

_IN_A_ROW = 5  # batches: one that had to wait for a core says nothing
_TIMED = 20  # batches of a new champion that the one before is timed on too
_EVERY = 100  # later only each so many
_HARMLESS_MS = 5.0  # nobody waits for a batch that takes less,
_HARMLESS_US_A_ROW = 5.0  # nor is the stream held up by so little


class Pace:
    """Compares how long versions take, batch by batch.

    Parameters:
        limit: a version may take so many times as long as the other; None for any time.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._limit = limit
        self._batches: dict[int, int] = {}
        self._slow: dict[int, int] = {}

    def wants(self, version: int) -> bool:
        """Whether a batch that a new champion scores should be timed with the one before."""
        if self._limit is None:
            return False
        seen = self._batches[version] = self._batches.get(version, 0) + 1
        return seen <= _TIMED or seen % _EVERY == 0 or version in self._slow

    def is_too_slow(self, version: int, ms: float, other_ms: float, rows: int) -> bool:
        """Take in one batch; whether a version was too slow on several in a row.

        Parameters:
            ms: what it took.
            other_ms: what the other version took for the same rows.
            rows: how many there were.
        """
        harmless = max(_HARMLESS_MS, rows * _HARMLESS_US_A_ROW / 1_000)
        if self._limit is None or ms <= max(harmless, self._limit * other_ms):
            self._slow.pop(version, None)
            return False
        self._slow[version] = self._slow.get(version, 0) + 1
        return self._slow[version] >= _IN_A_ROW

    def forget(self, version: int) -> None:
        """Begin anew with a version."""
        self._slow.pop(version, None)
        self._batches.pop(version, None)
