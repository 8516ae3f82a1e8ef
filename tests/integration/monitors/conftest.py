"""A model with a reference, and rows that the real writer logs, without Kafka."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.config import Config, Model
from driftline.profile import sample
from driftline.profile.binning import Binning
from driftline.profile.blocks import Block
from driftline.profile.build import build
from driftline.profile.profile import Profile
from driftline.profile.recount import reference
from driftline.records import NO_SHADOWS, POSITION, PREDICTION, REJECT, SHADOW, ScoredBatch
from driftline.storage.connection import connect
from driftline.storage.log.write import Target, Writer
from driftline.storage.monitoring import reference_sample, references
from driftline.storage.monitoring.references import StoredReference
from driftline.storage.tables import schema
from driftline.storage.versions import versions

FEATURES = pa.schema([("amount", pa.float64()), ("country", pa.string())])
START = datetime(2024, 3, 4, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)


def rows(rng: np.random.Generator, n: int, start: datetime, *, shift: float = 0.0) -> pa.Table:
    """n rows within the hour from `start` on."""
    seconds = np.sort(rng.uniform(0, 3_600, n))
    return pa.table(
        {
            "event_time": pa.array(
                [start + timedelta(seconds=float(s)) for s in seconds],
                pa.timestamp("us", tz="UTC"),
            ),
            "amount": rng.normal(100 + shift, 10, n),
            "country": rng.choice(["de", "fr", "it"], n),
            "score": rng.uniform(0, 1, n),
        }
    )


@dataclass
class Stream:
    """One model in a database of its own."""

    config: Config
    name: str
    binning: Binning
    offsets: Iterator[int] = field(default_factory=itertools.count)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    @property
    def section(self) -> Model:
        return self.config.model(self.name)

    def log(
        self,
        table: pa.Table,
        *,
        version: int = 1,
        rejected: int = 0,
        shadow: pa.Array | None = None,
    ) -> None:
        """Log rows as one batch; `shadow` is what version 2 scored of each."""
        m = len(table)
        n = m + rejected
        now = datetime.now(UTC)
        fixed: dict[str, Any] = {
            "event_id": [f"e{next(self.offsets)}" for _ in range(m)],
            "model_version": [version] * m,
            "role": ["champion"] * m,
            "outputs": [None] * m,
            "late": [False] * m,
            "scored_at": [now] * m,
            "inference_ms": [0.5] * m,
        }
        columns = {name: table.column(name).combine_chunks() for name in table.column_names}
        full = pa.schema([*PREDICTION, *FEATURES])
        predictions = pa.RecordBatch.from_pydict({**columns, **fixed}, schema=full)
        batch = ScoredBatch(
            positions=pa.RecordBatch.from_pydict(
                {
                    "partition": np.zeros(n, np.int32),
                    "offset": [next(self.offsets) for _ in range(n)],
                    "kafka_time": [now] * n,
                },
                schema=POSITION,
            ),
            predictions=predictions,
            messages=np.arange(m, dtype=np.int32),
            rejects=pa.RecordBatch.from_pydict(
                {
                    "message": np.arange(m, n, dtype=np.int32),
                    "reason": ["not json"] * rejected,
                    "detail": [""] * rejected,
                    "payload": [b"x"] * rejected,
                },
                schema=REJECT,
            ),
            filtered=np.zeros(0, np.int32),
            shadows=NO_SHADOWS if shadow is None else _shadows(shadow, now),
        )
        with connect(self.config.postgres, "write") as connection:
            target = Target(
                self.name,
                self.section.input.topic,
                lambda _: self.binning,
                self.section.segments,
            )
            Writer(connection, target).write(batch)

    def hour(self, number: int, n: int = 400, **more: Any) -> None:
        """Log n rows of the hour with a number, counted from START."""
        shift = more.pop("shift", 0.0)
        self.log(rows(self.rng, n, START + number * HOUR, shift=shift), **more)

    def keep_reference_rows(self) -> None:
        """A sample of raw rows for the reference of version 1, as registration keeps it."""
        table = rows(self.rng, 1_000, START)
        stored = sample.draw(table.select(FEATURES.names), table["score"].to_numpy())
        with connect(self.config.postgres, "write", autocommit=True) as connection:
            reference_sample.store(connection, self.name, 1, sample.pack(stored))

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement as the owner of the tables."""
        with connect(self.config.postgres, "migrate", autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def with_model(self, name: str | None = None, **section: Any) -> Config:
        """The config with another section of the model."""
        tree = {**self.section.model_dump(mode="json", exclude_unset=True), **section}
        models = {**self.config.models, name or self.name: Model.model_validate(tree)}
        return self.config.model_copy(update={"models": models})


def _shadows(scores: pa.Array, now: datetime) -> pa.RecordBatch:
    n = len(scores)
    fixed: dict[str, Any] = {
        "prediction": np.arange(n, dtype=np.int32),
        "model_version": [2] * n,
        "role": ["shadow"] * n,
        "score": scores,
        "outputs": [None] * n,
        "scored_at": [now] * n,
        "inference_ms": [0.5] * n,
    }
    return pa.RecordBatch.from_pydict(fixed, schema=SHADOW)


def label(stream: Stream, number: int, *, skill: float = 1.0, share: float = 1.0) -> None:
    """Send the labels of the events of an hour, two hours after them.

    Parameters:
        skill: how well the score predicts the label; 0: not at all.
        share: of the events that get a label.
    """
    start = START + number * HOUR
    actual = stream.sql(
        "SELECT event_id, event_time, score FROM driftline.prediction_fraud"
        " WHERE event_time >= %s AND event_time < %s ORDER BY event_id",
        start,
        start + HOUR,
    )
    score = np.array([row[2] for row in actual])
    chance = skill * score + (1 - skill) * 0.5
    truth = stream.rng.random(len(actual)) < chance
    sent = stream.rng.random(len(actual)) < share
    with connect(stream.config.postgres, "migrate", autocommit=True) as connection:
        connection.cursor().executemany(
            "INSERT INTO driftline.label (label_time, model, event_id, label, source,"
            " kafka_offset, kafka_time) VALUES (%s, %s, %s, %s, 0, 0, now())"
            " ON CONFLICT DO NOTHING",
            [
                (time + 2 * HOUR, stream.name, event_id, float(yes))
                for (event_id, time, _), yes, past in zip(actual, truth, sent, strict=True)
                if past
            ],
        )


def monitors(**more: Any) -> dict[str, Any]:
    """Hourly windows by the clock of the events."""
    return {"windows": ["1 h"], "clock": "event", "lateness": "5 min", **more}


@pytest.fixture(scope="session")
def make_stream(empty_database: Callable[[], Config]) -> Callable[..., Stream]:
    """Makes streams: a migrated database and a version with a reference of 30 days of hours."""

    def make(name: str = "fraud", **section: Any) -> Stream:
        config = empty_database()
        model = Model.model_validate(
            {
                "input": {
                    "topic": "events",
                    "event_id": "event_id",
                    "event_time": "event_time",
                    "fields": {"amount": "float", "country": "string"},
                },
                "registry": {"name": name},
                "monitors": monitors(),
                **section,
            }
        )
        config = config.model_copy(update={"models": {name: model}})
        schema.migrate(config, {name: FEATURES})
        return Stream(config, name, store_reference(config, name))

    return make


@lru_cache(maxsize=1)
def _made() -> tuple[Binning, Profile, list[Block]]:
    rng = np.random.default_rng(0)
    hours = [rows(rng, 300, START - (i + 1) * HOUR) for i in range(24 * 30)]
    everything = pa.concat_tables(hours)
    binning = build(everything.select(FEATURES.names), everything.column("score").to_numpy())

    def profile(table: pa.Table) -> Profile:
        return reference(table.select(FEATURES.names), table.column("score").to_numpy(), binning)

    blocks = [
        Block("", 3_600, START - (i + 1) * HOUR, len(hour), profile(hour).pack())
        for i, hour in enumerate(hours)
    ]
    return binning, profile(everything), blocks


def store_reference(config: Config, name: str, version: int = 1) -> Binning:
    """Thirty days of hours before START."""
    binning, whole, blocks = _made()
    span = START - 720 * HOUR, START
    store(config, StoredReference(name, version, whole, "file", *span, 3_600, "test"), blocks)
    return binning


def store(config: Config, reference: StoredReference, blocks: list[Block]) -> None:
    """A version with its reference."""
    with connect(config.postgres, "write") as connection:
        versions.record(
            connection, model_version(reference.model, reference.profile, reference.version)
        )
        references.write(connection, reference, blocks)


def model_version(name: str, whole: Profile, version: int = 1) -> versions.ModelVersion:
    """As registration records it, with this reference."""
    return versions.ModelVersion(
        model=name,
        version=version,
        run_id="run",
        digest="digest",
        signature={},
        features_hash="hash",
        binning=whole.binning,
        reference=whole.pack(),
        reference_rows=whole.rows,
    )
