"""The demo's rollout: in mid-stream a better version is promoted and a broken one is refused."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from driftline.config import Config
from driftline.demo import settings
from driftline.demo.replay import Message
from driftline.errors import DriftlineError
from driftline.registry import aliases
from driftline.registry.client import connect as connect_registry
from driftline.registry.promote import Outcome, promote
from driftline.registry.register import Training, register
from driftline.storage.connection import connect
from driftline.storage.versions import promotions
from driftline.streaming.progress import Progress, ProgressReader

_SHADOWED = 0.25  # share of the flights sent before the new versions begin to score
_DECIDED = 0.6  # share sent before the gates are evaluated
_LAST = 0.8  # share sent before the new champion must serve
_TAKING_OVER = 60.0  # seconds for the flights between these two, unless it serves sooner
_STEP_TIMEOUT = 600.0  # seconds: a busy machine takes minutes to start a job
_IN_WINDOWS = 200  # events that open windows may hold back


@dataclass(frozen=True)
class Candidate:
    """A model that is registered while the stream flows."""

    path: Path
    training: Training


@dataclass(frozen=True)
class TrainingData:
    """The data that versions are trained on and compared with.

    Attributes:
        features: n rows.
        times: n event times.
    """

    features: pa.Table
    times: pa.ChunkedArray


class Story:
    """Registers two versions as shadows and requests the promotion of both.

    Each step waits for the stream and the stream for it, so that a short stream shows it too. While
    the gates are evaluated and the new champion takes over, the stream continues slowly.

    Parameters:
        config: the demo's.
        say: prints one line.
        training_data: the reference of both versions.
        better, broken: the versions.
    """

    def __init__(
        self,
        config: Config,
        say: Callable[[str], None],
        training_data: TrainingData,
        better: Candidate,
        broken: Candidate,
    ) -> None:
        self._config = config
        self._say = say
        self._training_data = training_data
        self._better = better
        self._broken = broken
        self._sent = {settings.EVENTS: 0, settings.LABELS: 0}
        self._shadowed = threading.Event()
        self._enough = threading.Event()
        self._asked = threading.Event()
        self._decided = threading.Event()
        self.stop = threading.Event()

    def held(self, messages: Iterator[Message], flights: int) -> Iterator[Message]:
        """The messages, held back where the story has a step to do."""
        for message in messages:
            self._sent[message.topic] += 1
            if message.topic == settings.EVENTS:
                if self._sent[settings.EVENTS] > flights * _SHADOWED:
                    self._hold(self._shadowed)
                if self._sent[settings.EVENTS] > flights * _DECIDED:
                    self._enough.set()
                    self._hold(self._asked)
                    self._decided.wait(_TAKING_OVER / (flights * (_LAST - _DECIDED)))
                if self._sent[settings.EVENTS] > flights * _LAST:
                    self._hold(self._decided)
            yield message
        self._enough.set()

    def run(self) -> None:
        """Run all steps; the stream is always released at the end.

        Raises:
            DriftlineError: the registry or the database is unavailable.
        """
        try:
            self._run_steps()
        finally:
            for event in (self._shadowed, self._asked, self._decided):
                event.set()

    def _run_steps(self) -> None:
        self._wait("the champion", lambda: self._has_happened(1, "serving"))
        better, broken = self._register(self._better), self._register(self._broken)
        self._say(f"versions {better} and {broken} are registered and score as shadows")
        client = connect_registry(self._config.local_mlflow())
        for alias, version in (("shadow", better), ("shadow-2", broken)):
            aliases.set_alias(client, settings.MODEL, alias, version)
        for version in (better, broken):
            self._wait("the shadows", partial(self._has_happened, version, "scoring"))
        self._shadowed.set()
        self._wait("evidence", self._has_settled)
        self._asked.set()
        self._report(broken, promote(self._config, settings.MODEL, broken))
        aliases.delete_alias(client, settings.MODEL, "shadow-2")
        events_before = self._settled().events
        outcome = promote(self._config, settings.MODEL, better)
        self._report(better, outcome)
        if outcome.promoted:
            self._wait("the new champion", lambda: self._has_happened(better, "serving"))
            meanwhile = self._settled().events - events_before
            self._say(f"version {better} serves; it took over within {meanwhile:,} events")

    def _register(self, candidate: Candidate) -> int:
        return register(
            self._config.local_mlflow(),
            settings.MODEL,
            candidate.path,
            self._training_data.features,
            training=candidate.training,
            times=self._training_data.times,
        ).version

    def _report(self, version: int, outcome: Outcome) -> None:
        decisive = [gate for gate in outcome.verdicts if gate.passed == outcome.promoted]
        reasons = "; ".join(f"{gate.name} {gate.sentence}" for gate in decisive if gate.measured)
        self._say(f"version {version} is {outcome.decision.kind}: {reasons}")

    def _has_happened(self, version: int, kind: str) -> bool:
        with connect(self._config.local_postgres(), "read", autocommit=True) as connection:
            events = promotions.events(connection, settings.MODEL)
            quarantines = promotions.quarantines(connection, settings.MODEL)
        for quarantine in quarantines:
            if quarantine.version == version:
                raise DriftlineError(f"version {version} is quarantined: {quarantine.detail}")
        return any((event.version, event.kind) == (version, kind) for event in events)

    def _has_settled(self) -> bool:
        """Whether all messages sent before the gates are evaluated have been processed."""
        if not self._enough.is_set():
            return False
        settled = self._settled()
        events, labels = self._sent[settings.EVENTS], self._sent[settings.LABELS]
        return settled.events >= events - _IN_WINDOWS and settled.labels >= labels

    def _settled(self) -> Progress:
        """The messages that have been processed."""
        with connect(self._config.local_postgres(), "read", autocommit=True) as connection:
            return ProgressReader(connection, settings.MODEL).read()

    def _hold(self, event: threading.Event) -> None:
        while not (event.is_set() or self.stop.is_set()):
            event.wait(0.1)

    def _wait(self, step: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _STEP_TIMEOUT
        while not condition():
            if self.stop.wait(0.5):
                raise DriftlineError("the demo was stopped")
            if time.monotonic() > deadline and step != "evidence":
                raise DriftlineError(
                    f"the demo waited {_STEP_TIMEOUT:.0f} s for {step}: see the job's log"
                )
