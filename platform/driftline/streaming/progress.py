"""Reads the progress of a running job from the database, to show it in a terminal or a test."""

from dataclasses import dataclass
from typing import Any

from driftline import names
from driftline.profile.binning import Binning
from driftline.profile.profile import Profile
from driftline.storage.connection import Connection


@dataclass(frozen=True)
class Progress:
    """Counts of a model's settled messages, and figures of the latest ones.

    Attributes:
        logged, duplicate, rejected, filtered: of the events topic.
        labels: settled messages of the labels topic.
        version: version of the latest predictions, None before the first.
        inference_ms: median and 99th percentile of the latest predictions.
        lag_ms: the same of the time from Kafka's timestamp to the write.
    """

    logged: int = 0
    duplicate: int = 0
    rejected: int = 0
    filtered: int = 0
    labels: int = 0
    version: int | None = None
    inference_ms: tuple[float, float] | None = None
    lag_ms: tuple[float, float] | None = None

    @property
    def events(self) -> int:
        """Settled messages of the events topic."""
        return self.logged + self.duplicate + self.rejected + self.filtered


class ProgressReader:
    """Reads a model's progress repeatedly; each read fetches only new profile rows.

    Parameters:
        connection: as role `read`, in autocommit.
        model: the model's name in the config.
    """

    def __init__(self, connection: Connection, model: str) -> None:
        self._connection = connection
        self._model = model
        self._last_profile = 0
        self._binnings: dict[str, Binning] = {}

    def read(self) -> Progress:
        """Read the current progress."""
        counts = {"events": (0, 0, 0, 0), "labels": (0, 0, 0, 0)}
        for stream, *outcomes in self._connection.execute(
            """SELECT s.stream, sum(logged), sum(duplicate), sum(rejected), sum(filtered)
                 FROM driftline.ledger l JOIN driftline.source s ON s.id = l.source
                WHERE s.model = %s GROUP BY s.stream""",
            (self._model,),
        ):
            counts[stream] = tuple(map(int, outcomes))  # type: ignore[assignment]
        logged, duplicate, rejected, filtered = counts["events"]
        return Progress(
            logged, duplicate, rejected, filtered, sum(counts["labels"]), **self._latest()
        )

    def _latest(self) -> dict[str, Any]:
        """Version and times from the profile rows written since the last read."""
        rows = self._connection.execute(
            """SELECT id, version, binning_id, cells FROM driftline.profile
                WHERE model = %s AND segment = %s AND role = %s AND id > %s
                ORDER BY id DESC LIMIT 500""",
            (self._model, names.ALL_ROWS, names.SERVED, self._last_profile),
        ).fetchall()
        if not rows:
            return {}
        self._last_profile, version, binning_id, _ = rows[0]
        same = [cells for _, _, binning, cells in rows if binning == binning_id]
        profile = Profile.of(self._binning(binning_id), *same)
        return {
            "version": version,
            **{
                name: tuple(profile.column(name).quantile(q) for q in (0.5, 0.99))
                for name in (names.INFERENCE_MS, names.LAG_MS)
            },
        }

    def _binning(self, binning_id: str) -> Binning:
        if binning_id not in self._binnings:
            row = self._connection.execute(
                "SELECT spec::text FROM driftline.binning WHERE id = %s", (binning_id,)
            ).fetchone()
            assert row is not None, "each profile row refers to a binning"
            self._binnings[binning_id] = Binning.from_json(row[0])
        return self._binnings[binning_id]
