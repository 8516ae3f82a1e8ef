"""A database and topics of its own for each test module, filled by the real writer."""

import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from driftline.config import Config, Model
from driftline.kafka.client_settings import librdkafka
from driftline.profile.binning import Binning
from driftline.profile.build import build
from driftline.records import NO_SHADOWS, POSITION, PREDICTION, REJECT, SHADOW, ScoredBatch
from driftline.storage.connection import connect
from driftline.storage.log.write import Target, Writer
from driftline.storage.tables import schema

FEATURES = pa.schema([("amount", pa.float64()), ("items", pa.int64()), ("country", pa.string())])
MODEL = "fraud"
START = datetime(2024, 3, 1, tzinfo=UTC)


@dataclass
class World:
    """One model with its topics, its store, and a writer that logs what the topics hold."""

    config: Config
    binning: Binning
    partitions: int = 2
    segments: tuple[str, ...] = ()
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def section(self) -> Model:
        return self.config.model(MODEL)

    def producer(self, **more: Any) -> Producer:
        return Producer({**librdkafka(self.config.kafka), "linger.ms": 5, **more})

    def produce(self, topic: str, values: list[bytes], partition: int = 0) -> list[int]:
        """Put values into a partition; gives their offsets."""
        offsets: list[int] = []

        def delivered(error: Any, message: Any) -> None:
            assert error is None, error
            offsets.append(message.offset())

        producer = self.producer()
        for value in values:
            producer.produce(topic, value, partition=partition, on_delivery=delivered)
        producer.flush()
        return offsets

    @staticmethod
    def event(number: int) -> dict[str, Any]:
        """The event of a number; ten seconds lie between two."""
        return {
            "event_id": f"e{number}",
            "event_time": START + timedelta(seconds=10 * number),
            "amount": None if number % 7 == 0 else float(number % 50),
            "items": number % 5,
            "country": ["de", "fr", "it"][number % 3],
        }

    def events(self, n: int) -> list[dict[str, Any]]:
        """The next n events."""
        return [self.event(number) for number in itertools.islice(self._numbers, n)]

    def produce_events(self, events: list[dict[str, Any]], partition: int = 0) -> list[int]:
        """Put events into a partition of the input topic; gives their offsets."""
        values = [json.dumps(event, default=str).encode() for event in events]
        return self.produce(self.section.input.topic, values, partition)

    def feed(self, n: int, partition: int = 0, **outcome: Any) -> list[int]:
        """Produce n events to the input topic and log them; gives their offsets."""
        events = self.events(n)
        offsets = self.produce_events(events, partition)
        self.log(events, offsets, partition, **outcome)
        return offsets

    def log(
        self,
        events: list[dict[str, Any]],
        offsets: list[int],
        partition: int = 0,
        *,
        rejected: int = 0,
        filtered: int = 0,
        publish: bool = True,
        shadow: int | None = None,
    ) -> None:
        """Log events as one batch; the last ones become rejects, the ones before are filtered.

        Parameters:
            shadow: a version that has scored them too.
        """
        n = len(events)
        m = n - rejected - filtered
        batch = ScoredBatch(
            positions=pa.RecordBatch.from_pydict(
                {
                    "partition": np.full(n, partition, np.int32),
                    "offset": offsets,
                    "kafka_time": [datetime.now(UTC)] * n,
                },
                schema=POSITION,
            ),
            predictions=predictions(events[:m]),
            messages=np.arange(m, dtype=np.int32),
            rejects=pa.RecordBatch.from_pydict(
                {
                    "message": np.arange(n - rejected, n, dtype=np.int32),
                    "reason": ["not json"] * rejected,
                    "detail": ["unexpected end of data"] * rejected,
                    "payload": [
                        json.dumps(e, default=str).encode() for e in events[n - rejected :]
                    ],
                },
                schema=REJECT,
            ),
            filtered=np.arange(m, m + filtered, dtype=np.int32),
            shadows=shadows(events[:m], shadow),
        )
        with connect(self.config.postgres, "write") as connection:
            topic = self.section.input.topic
            target = Target(MODEL, topic, lambda _: self.binning, self.segments)
            stored = Writer(connection, target).write(batch)
        output = self.section.output
        if publish and output is not None:
            self.produce(output.topic, [published(row) for row in stored.predictions.to_pylist()])

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement as the owner of the tables."""
        with connect(self.config.postgres, "migrate", autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


def predictions(events: list[dict[str, Any]]) -> pa.RecordBatch:
    now = datetime.now(UTC)
    fixed = {
        "model_version": 1,
        "role": "champion",
        "outputs": None,
        "late": False,
        "scored_at": now,
        "inference_ms": 0.5,
    }
    rows = [{**event, **fixed, "score": score(event)} for event in events]
    full = pa.schema([*PREDICTION, *FEATURES])
    return pa.RecordBatch.from_pylist(rows, schema=full)


def shadows(events: list[dict[str, Any]], version: int | None) -> pa.RecordBatch:
    """What a version says of events as their shadow; nothing without one."""
    if version is None:
        return NO_SHADOWS
    fixed = {"model_version": version, "role": "shadow", "outputs": None}
    fixed |= {"scored_at": datetime.now(UTC), "inference_ms": 0.25}
    rows = [{"prediction": i, "score": score(event) / 2, **fixed} for i, event in enumerate(events)]
    return pa.RecordBatch.from_pylist(rows, schema=SHADOW)


def score(event: dict[str, Any]) -> float:
    return float(event["items"]) / 7 + 0.1


def published(row: dict[str, Any]) -> bytes:
    """A record as the job's sink writes it."""
    time = row["event_time"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({**row, "event_time": time, "model": MODEL}).encode()


@pytest.fixture(scope="session")
def binning() -> Binning:
    rng = np.random.default_rng(0)
    features = pa.table(
        {
            "amount": rng.uniform(0, 40, 2_000),
            "items": rng.integers(0, 5, 2_000),
            "country": rng.choice(["de", "fr"], 2_000),
        }
    )
    return build(features, rng.uniform(0, 1, 2_000))


@pytest.fixture(scope="module")
def make_world(
    empty_database: Callable[[], Config], binning: Binning
) -> Iterator[Callable[..., World]]:
    """Makes worlds: a migrated database and empty topics."""
    topics: list[str] = []
    admins: list[AdminClient] = []

    def make(*, labels: bool = False, delivery: str | None = "exactly_once") -> World:
        config = empty_database()
        admin = AdminClient(librdkafka(config.kafka))
        admins.append(admin)
        mark = uuid.uuid4().hex[:8]
        names = {name: f"test-{mark}-{name}" for name in ("events", "predictions", "labels")}
        created = admin.create_topics([NewTopic(name, 2, 1) for name in names.values()])
        for made in created.values():
            made.result(30)
        topics.extend(names.values())
        section: dict[str, Any] = {
            "input": {
                "topic": names["events"],
                "event_id": "event_id",
                "event_time": "event_time",
                "fields": {"amount": "float", "items": "int", "country": "string"},
            },
            "registry": {"name": MODEL},
        }
        if delivery is not None:
            section["output"] = {"topic": names["predictions"], "delivery": delivery}
        if labels:
            section["labels"] = {"topic": names["labels"]}
        models = {MODEL: Model.model_validate(section)}
        config = config.model_copy(update={"models": models})
        schema.migrate(config, {MODEL: FEATURES})
        world = World(config, binning)
        world.sql(
            "INSERT INTO driftline.binning (id, spec) VALUES (%s, %s::jsonb)",
            binning.id,
            binning.to_json(),
        )
        return world

    yield make
    for admin in admins[:1]:
        for deleted in admin.delete_topics(topics).values():
            deleted.result(30)


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A new world for one test."""
    return make_world()
