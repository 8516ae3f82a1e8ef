"""Detects versions that fail, or are far too slow, on batches that another version handles."""

from driftline.streaming.scoring.isolate import SYSTEMATIC_FAILURE_ROWS
from driftline.streaming.scoring.score import Scored
from driftline.streaming.scoring.version_speed import IN_A_ROW, SlownessDetector


class FaultyVersionError(Exception):
    """A version fails on a batch that another version handles: it is at fault, not the data."""

    def __init__(self, version: int, reason: str, detail: str) -> None:
        super().__init__(f"version {version}: {reason}: {detail}")
        self.version = version
        self.reason = reason
        self.detail = detail


class FaultDetector:
    """Compares versions with a baseline version on the same batches.

    Parameters:
        max_slowdown: how many times as long as the baseline a version may take; None for no limit.
    """

    def __init__(self, max_slowdown: float | None = None) -> None:
        self._max_slowdown = max_slowdown
        self._slowness = SlownessDetector(max_slowdown)
        self._failing: dict[int, int] = {}

    def record(self, version: int, scored: Scored) -> None:
        """Count the rows that a version fails on, since its last good batch."""
        failed = self._failing.pop(version, 0) + scored.at_fault
        if scored.is_poor:
            self._failing[version] = failed

    def needs_baseline(self, version: int, proven: bool = False) -> bool:
        """Whether the previous champion should score this batch too.

        Parameters:
            proven: the version's speed need not be compared.
        """
        return self._fails(version) or (not proven and self._slowness.needs_timing(version))

    def check(self, version: int, scored: Scored, other: int, baseline: Scored) -> None:
        """Check a version after a batch.

        Parameters:
            version: the version of `scored`, which was passed to `record`.
            other: the version that scored the same rows, with the result `baseline`.

        Raises:
            FaultyVersionError: it fails on too many rows, or is too slow several times in a row.
        """
        if baseline.is_poor:
            return
        if self._fails(version):
            del self._failing[version]
            last = list(scored.failures.values())[-1]
            raise FaultyVersionError(version, last.code, last.detail)
        if scored.is_poor:  # its rows were tried one by one, which is slow by itself
            return
        ms, usual, rows = scored.inference_ms, baseline.inference_ms, len(scored.ok)
        if self._slowness.is_too_slow(version, ms, usual, rows):
            self._slowness.reset(version)
            raise FaultyVersionError(
                version,
                "too_slow",
                f"it took {ms:.1f} ms for {rows:,} events, version {other} {usual:.1f} ms: over "
                f"{self._max_slowdown:g}x in {IN_A_ROW} batches in a row (registry.max_slowdown)",
            )

    def _fails(self, version: int) -> bool:
        return self._failing.get(version, 0) >= SYSTEMATIC_FAILURE_ROWS
