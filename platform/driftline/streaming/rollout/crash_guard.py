"""Keeps one event, or one version, from ending worker after worker."""

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
from driftline.streaming.scoring.crash_search import Crashes, Request, find_crashes
from driftline.streaming.scoring.process import Messages
from driftline.streaming.scoring.rejects import Rejects
from driftline.streaming.startup_error import told

log = logging.getLogger(__name__)

_DEATHS = 2  # of workers on the same events, before the events are tried alone
_GIVE_UP = 4  # where no event and no version is the cause


class CrashGuard:
    """Notes each batch before it is scored, and finds out on what earlier workers have ended.

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
        """Score a batch; an event that ends each worker that processes it is rejected.

        Raises:
            DriftlineError: workers have ended on these events again and again, and neither one of
                them nor a version that another can replace is the cause.
        """
        partitions, offsets = messages.partition, messages.offset
        self._store.call(lambda store: store.begin(partitions, offsets))
        if not self._earlier:
            return score(messages)
        deaths = int(attempts_at(self._earlier, partitions, offsets).max(initial=0))
        if deaths < _DEATHS:
            # others' attempts that go on, or are settled by now, are not asked about again
            self._earlier = self._store.call(lambda store: store.unfinished(self._started))
            return score(messages)
        crashes = self._search(messages, deaths)
        return _without(messages, crashes.events, score) if crashes.events else score(messages)

    def close(self) -> None:
        """Close the connection."""
        self._store.close()

    def _search(self, messages: Messages, deaths: int) -> Crashes:
        lineup = self._serving.now()
        scoring = [lineup.champion, *(served for _, served in lineup.others())]
        versions = [(one.version, self._serving.folder(one.version)) for one in scoring]
        where = f"{deaths} workers have ended on the same {len(messages.payloads):,} events"
        log.warning("%s: trying each of them alone", where)
        crashes = find_crashes(Request(self._config, self._name, messages, versions))
        for message, how in crashes.events.items():
            at = f"partition {messages.partition[message]}, offset {messages.offset[message]}"
            log.error("the event at %s %s: it is rejected", at, how)
        for version, how in crashes.versions.items():
            self._serving.replace(version, "kills_worker", how)
        if not crashes.events and not crashes.versions:
            cause = crashes.cause or (
                "each passes alone, so none is rejected; was memory short, or were they killed?"
            )
            log.error("%s: %s", where, cause)
            if deaths >= _GIVE_UP:
                with told(self._config, self._name):
                    raise DriftlineError(f"{where}: {cause}")
        return crashes


def _without(
    messages: Messages, crashes: Mapping[int, str], score: Callable[[Messages], ScoredBatch]
) -> ScoredBatch:
    """Score a batch but for some messages, which are rejected."""
    kept = np.setdiff1d(np.arange(len(messages.payloads)), list(crashes)).astype(np.int32)
    batch = score(messages.take(kept))
    rejects = Rejects(messages.payloads)
    for message, how in crashes.items():
        rejects.add(message, "worker_killed", how)
    at = REJECT.get_field_index("message")
    others = batch.rejects.set_column(
        at, REJECT.field(at), pa.array(kept[batch.rejects.column(at).to_numpy()])
    )
    both = pa.Table.from_batches([rejects.batch(), others]).combine_chunks().to_batches()
    return ScoredBatch(
        messages.positions(),
        batch.predictions,
        kept[batch.messages],
        both[0],
        kept[batch.filtered],
        batch.shadows,
    )
