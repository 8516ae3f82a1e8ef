"""Labels from their topic to the table, each once."""

import itertools
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from driftline.config import Config, Model
from driftline.errors import ConfigError
from driftline.storage.connection import connect
from driftline.streaming.scoring.labels import LabelLog
from tests.contracts.messages import MODEL
from tests.contracts.model import SECTION, migrated

_TOPICS = itertools.count()
START = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def database(empty_database: Callable[[], Config]) -> Config:
    return migrated(empty_database())


class Truth:
    """One topic of labels, its log, and what the store holds of it."""

    def __init__(self, database: Config, **section: Any) -> None:
        self.topic = f"labels-{next(_TOPICS)}"
        labels = {
            "topic": self.topic,
            "event_id": "id",
            "label": "late",
            "time": "at",
            "accept": {"past": "30 d"},  # more than a million seconds
            **section,
        }
        model = Model.model_validate(SECTION | {"labels": labels})
        self.config = database.model_copy(update={"models": {MODEL: model}})
        self.log = LabelLog(self.config, MODEL)

    def write(self, payloads: Sequence[bytes | None], first: int = 0) -> list[bool]:
        n = len(payloads)
        stored: list[bool] = self.log.write(
            payloads,
            np.zeros(n, np.int32),
            np.arange(first, first + n),
            np.full(n, np.datetime64(START.replace(tzinfo=None), "us")),
        ).tolist()
        return stored

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with connect(self.config.postgres, "read") as connection:
            connection.execute("SET timezone TO 'UTC'")
            return connection.execute(statement, [self.topic]).fetchall()

    def labels(self) -> list[tuple[Any, ...]]:
        return self.query(
            """SELECT kafka_offset, event_id, label_time, label FROM driftline.label AS l
                 JOIN driftline.source AS s ON s.id = l.source
                WHERE topic = %s AND l.model = s.model ORDER BY kafka_offset"""
        )

    def rejected(self) -> list[tuple[Any, ...]]:
        return self.query(
            """SELECT kafka_offset, reason, detail FROM driftline.rejected
                 JOIN driftline.source ON source.id = source
                WHERE topic = %s AND stream = 'labels' ORDER BY kafka_offset"""
        )

    def outcomes(self) -> tuple[Any, ...]:
        """logged, duplicate, rejected, filtered, and the settled offsets."""
        [row] = self.query(
            """SELECT sum(logged)::int, sum(duplicate)::int, sum(rejected)::int, sum(filtered)::int,
                      range_agg(offsets)::text
                 FROM driftline.ledger JOIN driftline.source ON source.id = source
                WHERE topic = %s"""
        )
        return row


def label(name: Any, value: Any, minutes: int = 0) -> bytes:
    time = START + timedelta(minutes=minutes - 10)
    return json.dumps({"id": name, "late": value, "at": time.isoformat()}).encode()


def at(minutes: int = 0) -> datetime:
    return START + timedelta(minutes=minutes - 10)


@pytest.mark.parametrize(
    ("kind", "written", "stored"),
    [
        ("float", [0.25, 3, -1e308], [0.25, 3.0, -1e308]),
        ("int", [0, 1.0, 2**53 + 1], [0.0, 1.0, float(2**53)]),
        ("bool", [True, False, True], [1.0, 0.0, 1.0]),
    ],
)
def test_labels_are_stored_as_numbers(
    database: Config, kind: str, written: list[Any], stored: list[float]
) -> None:
    truth = Truth(database, type=kind)
    names = [f"{kind}-{n}" for n in range(3)]
    assert truth.write([label(*pair) for pair in zip(names, written, strict=True)]) == [True] * 3
    assert truth.labels() == [(n, names[n], at(), stored[n]) for n in range(3)]
    assert truth.outcomes() == (3, 0, 0, 0, "{[0,3)}")


def test_times_may_be_numbers(database: Config) -> None:
    truth = Truth(database, time_format="epoch_ms")
    millis = int(at().timestamp() * 1_000)
    assert truth.write([b'{"id": 77, "late": 1, "at": %d}' % millis]) == [True]
    assert truth.labels() == [(0, "77", at(), 1.0)]


def test_bad_labels_are_rejected_with_their_reason(database: Config) -> None:
    truth = Truth(database)
    old = (START - timedelta(days=31)).isoformat()
    payloads = [
        label("bad-0", 1.0),
        label("bad-1", None),
        label("bad-2", "late"),
        b'{"id": "bad-3", "late": 1e400, "at": "2024-03-01T00:00:00Z"}',
        b'{"id": "bad-4", "late": NaN, "at": "2024-03-01T00:00:00Z"}',
        label(None, 1.0),
        None,
        b'{"id": "bad-7", "late": 1, "at": "%s"}' % old.encode(),
        b'{"id": "bad-8", "late": 1}',
    ]
    assert truth.write(payloads) == [True] + [False] * 8
    assert truth.labels() == [(0, "bad-0", at(), 1.0)]
    assert truth.rejected() == [
        (1, "missing_field", "required field 'late' is missing"),
        (2, "wrong_type", "field 'late' is \"late\": Expected `float | null`, got `str`"),
        (3, "wrong_type", "field 'late' is 1e400: Number out of range"),
        (4, "malformed_json", "JSON is malformed: invalid character (byte 24)"),
        (5, "missing_event_id", "event id 'id' is missing"),
        (6, "empty", "the message is empty"),
        (7, "event_time_out_of_range", f"event time 'at' is {old!r}, outside the accepted range"),
        (8, "missing_event_time", "event time 'at' is missing"),
    ]
    assert truth.outcomes() == (1, 0, 8, 0, "{[0,9)}")


def test_the_same_messages_again_change_nothing(database: Config) -> None:
    truth = Truth(database)
    payloads = [label("again-0", 1.0), b"oops", label("again-2", 0.0)]
    assert truth.write(payloads) == [True, False, True]
    assert truth.write(payloads) == [False] * 3
    # overlapping, with other content: the first stays
    later = [label("again-2", 9.0), label("again-3", 1.0)]
    assert truth.write(later, first=2) == [False, True]
    assert [row[1:] for row in truth.labels()] == [
        ("again-0", at(), 1.0),
        ("again-2", at(), 0.0),
        ("again-3", at(), 1.0),
    ]
    assert truth.outcomes() == (3, 0, 1, 0, "{[0,4)}")


def test_corrections_stand_beside_the_first_and_repeats_do_not(database: Config) -> None:
    truth = Truth(database)
    payloads = [
        label("changed", 0.0),
        label("changed", 1.0, minutes=1),  # a correction: known later
        label("changed", 5.0),  # the same time again: the first stays
        label("changed", 1.0, minutes=1),
    ]
    assert truth.write(payloads) == [True, True, False, False]
    assert [row[2:] for row in truth.labels()] == [(at(), 0.0), (at(1), 1.0)]
    assert truth.outcomes() == (2, 2, 0, 0, "{[0,4)}")
    duplicates = truth.query(
        """SELECT kafka_offset, event_id, event_time FROM driftline.duplicate
             JOIN driftline.source ON source.id = source WHERE topic = %s ORDER BY 1"""
    )
    assert duplicates == [(2, "changed", at()), (3, "changed", at(1))]


def test_no_labels(database: Config) -> None:
    truth = Truth(database)
    assert truth.write([]) == []
    assert truth.write([b"", b"[]"]) == [False, False]
    assert truth.outcomes() == (0, 0, 2, 0, "{[0,2)}")


def test_closing_is_no_end(database: Config) -> None:
    truth = Truth(database)
    assert truth.write([label("closed-0", 1.0)]) == [True]
    truth.log.close()
    truth.log.close()
    assert truth.write([label("closed-0", 1.0), label("closed-1", 1.0)]) == [False, True]


def test_a_model_without_labels(database: Config) -> None:
    with pytest.raises(ConfigError) as error:
        LabelLog(database, MODEL)
    assert str(error.value) == f"model {MODEL!r} has no labels section: add one to driftline.yaml"
