"""Detects versions that take far longer than another one for the same rows."""

IN_A_ROW = 5  # slow batches in a row: a single one may have waited for a CPU core
_TIMED = 20  # first batches of a new champion, each also timed with the previous champion
_EVERY = 100  # after those, time one batch in this many
_HARMLESS_MS = 5.0  # a batch within this limit delays no reader,
_HARMLESS_US_A_ROW = 5.0  # and one within this limit does not slow the stream


class SlownessDetector:
    """Compares how long versions take, batch by batch.

    Parameters:
        limit: how many times as long as the other a version may take; None for no limit.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._limit = limit
        self._batches: dict[int, int] = {}
        self._slow: dict[int, int] = {}

    def needs_timing(self, version: int) -> bool:
        """Whether a new champion's batch should be timed with the previous champion too."""
        if self._limit is None:
            return False
        batch = self._batches[version] = self._batches.get(version, 0) + 1
        return batch <= _TIMED or batch % _EVERY == 0 or version in self._slow

    def is_too_slow(self, version: int, ms: float, other_ms: float, rows: int) -> bool:
        """Record a batch; returns whether the version was too slow on several in a row.

        Parameters:
            ms: time that it took.
            other_ms: time that the other version took for the same rows.
            rows: number of rows.
        """
        harmless = max(_HARMLESS_MS, rows * _HARMLESS_US_A_ROW / 1_000)
        if self._limit is None or ms <= max(harmless, self._limit * other_ms):
            self._slow.pop(version, None)
            return False
        self._slow[version] = self._slow.get(version, 0) + 1
        return self._slow[version] >= IN_A_ROW

    def reset(self, version: int) -> None:
        """Forget what was recorded of a version."""
        self._slow.pop(version, None)
        self._batches.pop(version, None)
