"""Whether a version fails, or takes far too long, where another one does well."""

from driftline.streaming.scoring.isolate import TOO_MANY
from driftline.streaming.scoring.score import Scored
from driftline.streaming.scoring.version_speed import Pace


class UnfitError(Exception):
    """A version fails where another one does well: it is at fault, not the data."""

    def __init__(self, version: int, reason: str, detail: str) -> None:
        super().__init__(f"version {version}: {reason}: {detail}")
        self.version = version
        self.reason = reason
        self.detail = detail


class Judge:
    """Judges versions by what they and a witness gave for the same batches.

    Parameters:
        slow: how many times as long as the witness a version may take; None for any time.
    """

    def __init__(self, slow: float | None = None) -> None:
        self._slow = slow
        self._pace = Pace(slow)
        self._failing: dict[int, int] = {}

    def note(self, version: int, scored: Scored) -> None:
        """Count the rows that a version fails on without a good batch between."""
        failed = self._failing.pop(version, 0) + scored.at_fault
        if scored.is_poor:
            self._failing[version] = failed

    def wants_witness(self, version: int, proven: bool = False) -> bool:
        """Whether the champion's batch should be scored by the one before it too.

        Parameters:
            proven: it may take as long as it does.
        """
        return self._fails(version) or (not proven and self._pace.wants(version))

    def __call__(self, version: int, scored: Scored, other: int, witness: Scored) -> None:
        """Judge a version after a batch.

        Parameters:
            version: that gave `scored`, which was noted.
            other: the version that gave `witness` for the same rows.

        Raises:
            UnfitError: it fails at large, or takes too long in several batches in a row.
        """
        if witness.is_poor:
            return
        if self._fails(version):
            del self._failing[version]
            last = list(scored.failures.values())[-1]
            raise UnfitError(version, last.code, last.detail)
        if scored.is_poor:  # its rows were tried one by one, which takes long
            return
        ms, usual, rows = scored.inference_ms, witness.inference_ms, len(scored.ok)
        if self._pace.is_too_slow(version, ms, usual, rows):
            self._pace.forget(version)
            raise UnfitError(
                version,
                "too_slow",
                f"it took {ms:.1f} ms for {rows:,} events and version {other} {usual:.1f} ms, "
                f"again and again over the limit of {self._slow:g} times (registry.slow)",
            )

    def _fails(self, version: int) -> bool:
        return self._failing.get(version, 0) >= TOO_MANY
