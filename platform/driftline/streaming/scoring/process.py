"""Messages to scored rows: decode, features, score. Knows neither Flink nor the database."""

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
from driftline.streaming.scoring.version_fault import Judge

log = logging.getLogger(__name__)

_PAUSE = 60.0  # seconds, for a version whose model server is away while the champion serves

#: Watches over the prediction of one version, or over what is made for all of them.
Watch = Callable[[Served | None], AbstractContextManager[object]]


@dataclass(frozen=True)
class Messages:
    """A batch as Flink hands it over.

    Attributes:
        payloads: the values of n messages, None for a tombstone.
        partition, offset: int32[n], int64[n].
        kafka_time: datetime64[us][n], UTC.
        late: bool[n], too late for the window features.
        added: the columns that the feature query added, n rows.
    """

    payloads: Sequence[bytes | None]
    partition: NDArray[Any]
    offset: NDArray[Any]
    kafka_time: NDArray[Any]
    late: NDArray[Any]
    added: pa.RecordBatch

    def take(self, rows: NDArray[Any]) -> "Messages":
        """Some of the messages, int[k]."""
        return Messages(
            [self.payloads[row] for row in rows.tolist()],
            self.partition[rows],
            self.offset[rows],
            self.kafka_time[rows],
            self.late[rows],
            self.added.take(pa.array(rows)),
        )

    def positions(self) -> pa.RecordBatch:
        """Where the messages stand in their topic, as `POSITION`."""
        columns = (self.partition, self.offset, self.kafka_time)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, POSITION, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=POSITION)


class Process:
    """Turns messages into predictions and rejects; every message becomes one of them.

    Parameters:
        decoder: by the model's `input` section.
        definition: the model's feature definition.
        watch: around the features, and around each version's prediction.
        slow: see `Judge`.
    """

    def __init__(
        self,
        decoder: JsonDecoder,
        definition: FeatureDefinition,
        watch: Watch | None = None,
        slow: float | None = None,
    ) -> None:
        self._decoder = decoder
        self._definition = definition
        self._watch: Watch = watch or (lambda _: nullcontext())
        self._judge = Judge(slow)
        self._away: dict[int, float] = {}  # until when a version's server is not asked

    def __call__(self, messages: Messages, lineup: Lineup) -> ScoredBatch:
        """Score a batch with a line-up of versions.

        Where the challenger fails on an event of its canary, the champion's score serves; where
        the champion fails, that of the champion before, while it is loaded. The stream waits for
        the champion's model server, for no other's.

        Raises:
            UnfitError: a version fails at large, or takes far too long, where another one does
                not: score the batch again without it.
            Exception: what the champion raised, when it fails on every event of a large batch and
                no other version shows that it is at fault.
        """
        rejects = Rejects(messages.payloads)
        with self._watch(None):
            features, rows, filtered, events = self.features(messages, rejects)
        with self._watch(lineup.champion):
            champion = score(lineup.champion.runtime, features)
        self._judge.note(lineup.champion.version, champion)
        before = self._champion_before(lineup, champion, features)
        others = [
            (role, other.version, scored)
            for role, other in lineup.others()
            if (scored := self._beside(other, features)) is not None
        ]
        for _, version, scored in others:
            self._judge.note(version, scored)
            self._judge(version, scored, lineup.champion.version, champion)
        served = self._served(lineup, champion, others, events)
        rescued = np.zeros_like(champion.ok) if before is None else before.ok & ~champion.ok
        ok = champion.ok | served | rescued
        for row, reason in champion.failures.items():
            if not ok[row]:
                rejects.add(int(rows[row]), reason.code, reason.detail)
        now = datetime.now(UTC).replace(tzinfo=None)
        mine = _rows(lineup.champion.version, CHAMPION, champion, now)
        if before is not None and lineup.previous is not None:
            mine = _merged(mine, _rows(lineup.previous.version, CHAMPION, before, now), rescued)
        if served.any():
            role, version, challenger = others[0]
            mine = _merged(mine, _rows(version, role, challenger, now), served)
        head = {
            "event_time": events.column("event_time"),
            "event_id": events.column("event_id"),
            "late": pa.array(messages.late[rows]),
            **mine,
        }
        predictions = pa.RecordBatch.from_arrays(
            [*(head[name] for name in PREDICTION.names), *features.columns],
            schema=pa.schema([*PREDICTION, *features.schema]),
        )
        every = bool(ok.all())
        at = (
            _numbers(len(ok))
            if every or not others
            else pa.array(np.cumsum(ok, dtype=np.int32) - 1)
        )
        shadows = [
            _shadow(role, version, scored, ok & ~served if role == CHALLENGER else ok, at, now)
            for role, version, scored in others
        ]
        if served.any():  # so that both versions of a canary can be compared on all events
            version = lineup.champion.version
            shadows.append(_shadow(CHAMPION, version, champion, served, at, now))
        if not every:
            predictions, rows = predictions.filter(pa.array(ok)), rows[ok]
        return ScoredBatch(
            messages.positions(),
            predictions,
            rows,
            rejects.batch(),
            filtered,
            _joined(shadows),
        )

    def _beside(self, served: Served, features: pa.RecordBatch) -> Scored | None:
        """What a version says that the stream can do without; None while its server is away."""
        if self._away.get(served.version, 0.0) > time.monotonic():
            return None
        try:
            with self._watch(served):
                return score(served.runtime.hurried(), features)
        except ServiceError as error:
            log.warning("version %d is not asked for %g s: %s", served.version, _PAUSE, error)
            self._away[served.version] = time.monotonic() + _PAUSE
            return None

    def _champion_before(
        self, lineup: Lineup, champion: Scored, features: pa.RecordBatch
    ) -> Scored | None:
        """What the champion before says, while that is still loaded: of a batch that the champion
        fails on, and to judge it by."""
        version, before = lineup.champion.version, lineup.previous
        judged = self._judge.wants_witness(version, lineup.proven)
        if before is not None and (judged or champion.at_fault):
            witness = self._beside(before, features)
            if judged and witness is not None:
                self._judge(version, champion, before.version, witness)
        else:
            witness = None
        if champion.raised is not None:
            raise champion.raised
        return witness

    @staticmethod
    def _served(
        lineup: Lineup,
        champion: Scored,
        others: list[tuple[str, int, Scored]],
        events: pa.RecordBatch,
    ) -> NDArray[np.bool_]:
        """Which rows the challenger serves, bool[n]."""
        if lineup.percent <= 0 or not others or others[0][0] != CHALLENGER:
            return np.zeros(len(champion.ok), dtype=np.bool_)
        canary = in_canary(events.column("event_id"), lineup.percent)
        return canary & others[0][2].ok

    def features(
        self, messages: Messages, rejects: Rejects
    ) -> tuple[pa.RecordBatch, NDArray[Any], NDArray[Any], pa.RecordBatch]:
        """Features and events of the kept messages, their messages, and the filtered ones."""
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
    """The columns of `PREDICTION` that are the version's, n rows; a failed row has no score."""
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
    """A column of `PREDICTION` that is the same in all rows; a batch's versions share them."""
    return pa.repeat(pa.scalar(value, PREDICTION.field(name).type), n)


@lru_cache(maxsize=8)
def _numbers(n: int) -> pa.Array:
    """0 to n - 1."""
    return pa.array(np.arange(n, dtype=np.int32))


def _merged(
    mine: dict[str, pa.Array], other: dict[str, pa.Array], where: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    mask = pa.array(where)
    return {name: pc.if_else(mask, other[name], mine[name]) for name in mine}


def _shadow(  # noqa: PLR0917 - each is a column, or says which rows
    role: str,
    version: int,
    scored: Scored,
    where: NDArray[np.bool_],
    at: pa.Array,
    now: datetime,
) -> pa.RecordBatch:
    """What a version said of the rows `where`, as `SHADOW`; `at` are their predictions."""
    columns = {**_rows(version, role, scored, now), "prediction": at}
    batch = pa.RecordBatch.from_arrays([columns[name] for name in SHADOW.names], schema=SHADOW)
    return batch if where.all() else batch.filter(pa.array(where))


def _joined(shadows: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(shadows) < 2:
        return shadows[0] if shadows else NO_SHADOWS
    columns = zip(*(batch.columns for batch in shadows), strict=True)
    return pa.RecordBatch.from_arrays([pa.concat_arrays(some) for some in columns], schema=SHADOW)
