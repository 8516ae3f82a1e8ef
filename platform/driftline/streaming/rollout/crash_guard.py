"""Keeps a single event or version from crashing one worker after another."""

import logging
import uuid
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.records import REJECT, ScoredBatch
from driftline.storage.log.batch_attempts import BatchAttempts, attempts_at
from driftline.storage.reconnect import Reconnecting
from driftline.streaming.rollout.serving import Serving
from driftline.streaming.scoring.batch_scorer import Messages
from driftline.streaming.scoring.crash_search import Crashes, Request, find_crashes
from driftline.streaming.scoring.rejects import Rejects
from driftline.streaming.startup_error import recorded_startup_error

log = logging.getLogger(__name__)

_SEARCH_AFTER = 2  # workers ended on the same events
_GIVE_UP_AFTER = 4  # workers ended on the same events, if no event or version is the cause


class CrashGuard:
    """Records each batch before it is scored, and finds the events that ended earlier workers.

    Parameters:
        config: with the model `name` in it.
        name: the model.
        serving: the versions of this worker.
    """

    def __init__(self, config: Config, name: str, serving: Serving) -> None:
        self._config = config
        self._name = name
        self._serving = serving
        topic, worker = config.model(name).input.topic, f"{serving.worker}:{uuid.uuid4().hex[:8]}"
        self._store = Reconnecting(
            config.local_postgres(),
            lambda connection: BatchAttempts(connection, name, topic, worker),
        )
        self._started = self._store.call(BatchAttempts.now)
        self._earlier = self._store.call(lambda store: store.unfinished(self._started))

    def score(self, messages: Messages, score: Callable[[Messages], ScoredBatch]) -> ScoredBatch:
        """Score a batch; an event that crashes each worker is rejected.

        Raises:
            DriftlineError: several workers ended on these events, and neither an event nor a
                version that another one can replace is the cause.
        """
        partitions, offsets = messages.partition, messages.offset
        self._store.call(lambda store: store.begin(partitions, offsets))
        if not self._earlier:
            return score(messages)
        deaths = int(attempts_at(self._earlier, partitions, offsets).max(initial=0))
        if deaths < _SEARCH_AFTER:
            # other workers' attempts may have finished by now: do not check those again
            self._earlier = self._store.call(lambda store: store.unfinished(self._started))
            return score(messages)
        crashes = self._search(messages, deaths)
        return _score_rest(messages, crashes.events, score) if crashes.events else score(messages)

    def close(self) -> None:
        """Close the connection."""
        self._store.close()

    def _search(self, messages: Messages, deaths: int) -> Crashes:
        lineup = self._serving.current()
        numbers = [lineup.champion.version, *(served.version for _, served in lineup.others())]
        versions = [(number, self._serving.folder(number)) for number in numbers]
        summary = f"{deaths} workers ended on the same {len(messages.payloads):,} events"
        log.warning("%s: processing each event alone", summary)
        crashes = find_crashes(Request(self._config, self._name, messages, versions))
        for message, reason in crashes.events.items():
            at = f"partition {messages.partition[message]}, offset {messages.offset[message]}"
            log.error("event rejected at %s: %s", at, reason)
        for version, reason in crashes.versions.items():
            self._serving.replace(version, "kills_worker", reason)
        if not crashes.events and not crashes.versions:
            cause = crashes.cause or (
                "each event passes alone, so none is rejected; check for low memory or a kill"
            )
            log.error("%s: %s", summary, cause)
            if deaths >= _GIVE_UP_AFTER:
                with recorded_startup_error(self._config, self._name):
                    raise DriftlineError(f"{summary}: {cause}")
        return crashes


def _score_rest(
    messages: Messages, crashes: Mapping[int, str], score: Callable[[Messages], ScoredBatch]
) -> ScoredBatch:
    """Score a batch without some messages, which are rejected."""
    remaining = np.setdiff1d(np.arange(len(messages.payloads)), list(crashes)).astype(np.int32)
    batch = score(messages.take(remaining))
    rejects = Rejects(messages.payloads)
    for message, reason in crashes.items():
        rejects.add(message, "worker_killed", reason)
    index = REJECT.get_field_index("message")
    renumbered = pa.array(remaining[batch.rejects.column(index).to_numpy()])
    scored_rejects = batch.rejects.set_column(index, REJECT.field(index), renumbered)
    tables = pa.Table.from_batches([rejects.batch(), scored_rejects]).combine_chunks().to_batches()
    return ScoredBatch(
        messages.positions(),
        batch.predictions,
        remaining[batch.messages],
        tables[0],
        remaining[batch.filtered],
        batch.shadows,
    )
