"""Decodes messages, computes features and scores them; independent of Flink and the database."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.errors import ServiceError
from driftline.names import CHALLENGER, CHAMPION
from driftline.records import NO_SHADOWS, POSITION, PREDICTION, SHADOW, ScoredBatch
from driftline.streaming.scoring.decode import JsonDecoder
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.lineup import Lineup, Served, in_canary
from driftline.streaming.scoring.rejects import Rejects
from driftline.streaming.scoring.score import Scored, score
from driftline.streaming.scoring.version_fault import FaultDetector

log = logging.getLogger(__name__)

_PAUSE = 60.0  # seconds until the unavailable model server of another version is called again

#: Watches the prediction of one version, or with None the features that all versions share.
Watch = Callable[[Served | None], AbstractContextManager[object]]


@dataclass(frozen=True)
class Messages:
    """A batch of messages from Flink.

    Attributes:
        payloads: the values of n messages, None for a tombstone.
        partition, offset: int32[n], int64[n].
        kafka_time: datetime64[us][n], UTC.
        late: bool[n], whether it came too late for the window features.
        added: the columns that the feature query added, n rows.
    """

    payloads: Sequence[bytes | None]
    partition: NDArray[Any]
    offset: NDArray[Any]
    kafka_time: NDArray[Any]
    late: NDArray[Any]
    added: pa.RecordBatch

    def take(self, rows: NDArray[Any]) -> "Messages":
        """The messages of some rows, int[k]."""
        return Messages(
            [self.payloads[row] for row in rows.tolist()],
            self.partition[rows],
            self.offset[rows],
            self.kafka_time[rows],
            self.late[rows],
            self.added.take(pa.array(rows)),
        )

    def positions(self) -> pa.RecordBatch:
        """Positions of the messages in their topic, as `POSITION`."""
        columns = (self.partition, self.offset, self.kafka_time)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, POSITION, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=POSITION)


class BatchScorer:
    """Turns each message into a prediction, a reject or a filtered event.

    Parameters:
        decoder: decodes by the model's `input` section.
        definition: the model's feature definition.
        watch: context of the feature computation and of each version's prediction.
        max_slowdown: see `FaultDetector`.
    """

    def __init__(
        self,
        decoder: JsonDecoder,
        definition: FeatureDefinition,
        watch: Watch | None = None,
        max_slowdown: float | None = None,
    ) -> None:
        self._decoder = decoder
        self._definition = definition
        self._watch: Watch = watch or (lambda _: nullcontext())
        self._fault_detector = FaultDetector(max_slowdown)
        self._paused: dict[int, float] = {}  # version -> when its model server is called again

    def __call__(self, messages: Messages, lineup: Lineup) -> ScoredBatch:
        """Score a batch with a line-up of versions.

        If the challenger fails on an event of its canary, the champion's score is served; if the
        champion fails, that of the previous champion, if loaded. The stream waits only for the
        champion's model server.

        Raises:
            FaultyVersionError: a version fails or is far too slow on a batch that another one
                handles: score the batch again without it.
            Exception: the champion's own error, if it fails on every event of a large batch and
                no other version shows that it is at fault.
        """
        rejects = Rejects(messages.payloads)
        with self._watch(None):
            features, rows, filtered, events = self.features(messages, rejects)
        with self._watch(lineup.champion):
            champion = score(lineup.champion.runtime, features)
        self._fault_detector.record(lineup.champion.version, champion)
        previous = self._previous_champion(lineup, champion, features)
        competing = [
            (role, served.version, scored)
            for role, served in lineup.others()
            if (scored := self._score_optional(served, features)) is not None
        ]
        for _, version, scored in competing:
            self._fault_detector.record(version, scored)
            self._fault_detector.check(version, scored, lineup.champion.version, champion)
        served = self._served(lineup, champion, competing, events)
        fallback = np.zeros_like(champion.ok) if previous is None else previous.ok & ~champion.ok
        ok = champion.ok | served | fallback
        for row, reason in champion.failures.items():
            if not ok[row]:
                rejects.add(int(rows[row]), reason.code, reason.detail)
        now = datetime.now(UTC).replace(tzinfo=None)
        columns = _rows(lineup.champion.version, CHAMPION, champion, now)
        if previous is not None and lineup.previous is not None:
            other = _rows(lineup.previous.version, CHAMPION, previous, now)
            columns = _merged(columns, other, fallback)
        if served.any():
            role, version, challenger = competing[0]
            columns = _merged(columns, _rows(version, role, challenger, now), served)
        head = {
            "event_time": events.column("event_time"),
            "event_id": events.column("event_id"),
            "late": pa.array(messages.late[rows]),
            **columns,
        }
        predictions = pa.RecordBatch.from_arrays(
            [*(head[name] for name in PREDICTION.names), *features.columns],
            schema=pa.schema([*PREDICTION, *features.schema]),
        )
        all_ok = bool(ok.all())
        numbered = all_ok or not competing
        at = _row_numbers(len(ok)) if numbered else pa.array(np.cumsum(ok, dtype=np.int32) - 1)
        shadows = [
            _shadow(role, version, scored, ok & ~served if role == CHALLENGER else ok, at, now)
            for role, version, scored in competing
        ]
        if served.any():  # lets both versions of a canary be compared on all events
            version = lineup.champion.version
            shadows.append(_shadow(CHAMPION, version, champion, served, at, now))
        if not all_ok:
            predictions, rows = predictions.filter(pa.array(ok)), rows[ok]
        return ScoredBatch(
            messages.positions(),
            predictions,
            rows,
            rejects.batch(),
            filtered,
            _joined(shadows),
        )

    def _score_optional(self, served: Served, features: pa.RecordBatch) -> Scored | None:
        """Score with a version other than the champion; None while its server is unavailable."""
        if self._paused.get(served.version, 0.0) > time.monotonic():
            return None
        try:
            with self._watch(served):
                return score(served.runtime.fail_fast(), features)
        except ServiceError as error:
            log.warning("version %d paused for %g s: %s", served.version, _PAUSE, error)
            self._paused[served.version] = time.monotonic() + _PAUSE
            return None

    def _previous_champion(
        self, lineup: Lineup, champion: Scored, features: pa.RecordBatch
    ) -> Scored | None:
        """Score with the previous champion, if loaded: when the champion fails or is checked."""
        version, previous = lineup.champion.version, lineup.previous
        checked = self._fault_detector.needs_baseline(version, lineup.proven)
        if previous is not None and (checked or champion.at_fault):
            baseline = self._score_optional(previous, features)
            if checked and baseline is not None:
                self._fault_detector.check(version, champion, previous.version, baseline)
        else:
            baseline = None
        if champion.raised is not None:
            raise champion.raised
        return baseline

    @staticmethod
    def _served(
        lineup: Lineup,
        champion: Scored,
        competing: list[tuple[str, int, Scored]],
        events: pa.RecordBatch,
    ) -> NDArray[np.bool_]:
        """Mask of the rows that the challenger serves, bool[n]."""
        if lineup.percent <= 0 or not competing or competing[0][0] != CHALLENGER:
            return np.zeros(len(champion.ok), dtype=np.bool_)
        canary = in_canary(events.column("event_id"), lineup.percent)
        return canary & competing[0][2].ok

    def features(
        self, messages: Messages, rejects: Rejects
    ) -> tuple[pa.RecordBatch, NDArray[Any], NDArray[Any], pa.RecordBatch]:
        """Features, the message of each row, filtered messages, and the event of each row."""
        decoded = self._decoder(messages.payloads, messages.kafka_time, rejects)
        added = messages.added.take(pa.array(decoded.messages))
        events = pa.RecordBatch.from_arrays(
            [*decoded.events.columns, *added.columns], schema=self._definition.events
        )
        featured = self._definition(events, rejects, decoded.messages)
        return (
            featured.features,
            decoded.messages[featured.rows],
            decoded.messages[featured.filtered],
            events.take(pa.array(featured.rows)),
        )


def _rows(version: int, role: str, scored: Scored, now: datetime) -> dict[str, pa.Array]:
    """The version's columns of `PREDICTION`, n rows; the score of a failed row is null."""
    n = len(scored.ok)
    return {
        "model_version": _repeated(version, n, "model_version"),
        "role": _repeated(role, n, "role"),
        "score": pa.array(scored.scores, mask=None if scored.ok.all() else ~scored.ok),
        "outputs": scored.outputs,
        "scored_at": _repeated(now, n, "scored_at"),
        "inference_ms": _repeated(scored.inference_ms, n, "inference_ms"),
    }


@lru_cache(maxsize=64)
def _repeated(value: object, n: int, name: str) -> pa.Array:
    """A column of `PREDICTION` with one value; cached, as a batch's versions share it."""
    return pa.repeat(pa.scalar(value, PREDICTION.field(name).type), n)


@lru_cache(maxsize=8)
def _row_numbers(n: int) -> pa.Array:
    """0 to n - 1."""
    return pa.array(np.arange(n, dtype=np.int32))


def _merged(
    columns: dict[str, pa.Array], other: dict[str, pa.Array], use_other: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    mask = pa.array(use_other)
    return {name: pc.if_else(mask, other[name], columns[name]) for name in columns}


def _shadow(  # noqa: PLR0917 - each is a column or selects rows
    role: str,
    version: int,
    scored: Scored,
    selected: NDArray[np.bool_],
    predictions: pa.Array,
    now: datetime,
) -> pa.RecordBatch:
    """A version's scores of the selected rows, as `SHADOW`, with each row's prediction row."""
    columns = {**_rows(version, role, scored, now), "prediction": predictions}
    batch = pa.RecordBatch.from_arrays([columns[name] for name in SHADOW.names], schema=SHADOW)
    return batch if selected.all() else batch.filter(pa.array(selected))


def _joined(shadows: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(shadows) < 2:
        return shadows[0] if shadows else NO_SHADOWS
    columns = zip(*(batch.columns for batch in shadows), strict=True)
    return pa.RecordBatch.from_arrays([pa.concat_arrays(parts) for parts in columns], schema=SHADOW)
