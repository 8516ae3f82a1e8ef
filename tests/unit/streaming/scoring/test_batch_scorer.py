import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from driftline.config import Model, Score
from driftline.records import POSITION, PREDICTION, REJECT, ScoredBatch
from driftline.registry.runtime import Tensor
from driftline.streaming.scoring.batch_scorer import BatchScorer, Messages
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.isolate import SYSTEMATIC_FAILURE_ROWS
from driftline.streaming.scoring.lineup import Lineup, Served
from tests.unit.streaming.decoding import NOW, event
from tests.unit.streaming.scoring.test_features import model

Outputs = dict[str, NDArray[Any]]


def halves(features: pa.RecordBatch) -> Outputs:
    """Half the amount, one number a row."""
    return {"score": pc.divide(features.column("amount"), 2.0).to_numpy(zero_copy_only=False)}


@dataclass
class FakeRuntime:
    """A model of one function; `needed` may not be missing."""

    function: Callable[[pa.RecordBatch], Outputs] = halves
    needed: Sequence[str] = ("items",)
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    outputs: Mapping[str, Tensor] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    score: Score = field(default_factory=Score)

    def check(self, features: pa.Schema) -> None:
        """Takes everything."""

    def unusable(self, features: pa.RecordBatch) -> tuple[NDArray[np.bool_], Sequence[str]]:
        bad = np.zeros(len(features), dtype=bool)
        columns = [name for name in self.needed if features.column(name).null_count]
        for name in columns:
            bad |= features.column(name).is_null().to_numpy(zero_copy_only=False)
        return bad, columns

    def fail_fast(self) -> "FakeRuntime":
        return self

    def predict(self, features: pa.RecordBatch) -> Outputs:
        self.sizes.append(len(features))
        return self.function(features)


def process(
    payloads: Sequence[bytes | None],
    runtime: FakeRuntime | None = None,
    section: Model | None = None,
    added: dict[str, list[Any]] | None = None,
    late: Sequence[bool] = (),
) -> ScoredBatch:
    """Score messages of partition 3, offsets from 100 on."""
    section = section or model()
    definition = FeatureDefinition(section)
    n = len(payloads)
    columns = [pa.array((added or {})[f.name], f.type) for f in definition.added]
    messages = Messages(
        payloads=payloads,
        partition=np.full(n, 3, np.int32),
        offset=np.arange(100, 100 + n),
        kafka_time=np.full(n, np.datetime64(NOW, "us")),
        late=np.array(late or [False] * n),
        added=pa.RecordBatch.from_arrays(columns, schema=definition.added),
    )
    batch = BatchScorer(DECODERS["json"](section.input), definition)(
        messages, Lineup(Served(7, runtime or FakeRuntime()))
    )
    assert_whole(batch, definition)
    return batch


def assert_whole(batch: ScoredBatch, definition: FeatureDefinition) -> None:
    """The types are those of the records, and every message has exactly one outcome."""
    assert batch.positions.schema == POSITION
    assert batch.rejects.schema == REJECT
    assert batch.predictions.schema == pa.schema([*PREDICTION, *definition.schema])
    rejected = batch.rejects.column("message").to_pylist()
    outcomes = [*batch.messages.tolist(), *rejected, *batch.filtered.tolist()]
    assert sorted(outcomes) == list(range(len(batch.positions)))
    assert len(batch.messages) == len(batch.predictions)


def rejects(batch: ScoredBatch) -> list[tuple[int, str, str]]:
    return [(r["message"], r["reason"], r["detail"]) for r in batch.rejects.to_pylist()]


def test_predictions() -> None:
    payloads = [
        event(amount="3", items="1", country='"de"'),
        event(id="5", at='"2025-12-31T23:00:00"', amount="1", items="2", new="true"),
    ]
    start = datetime.now(UTC)
    batch = process(payloads)
    assert rejects(batch) == []
    assert batch.positions.to_pylist() == [
        {"partition": 3, "offset": offset, "kafka_time": datetime(2026, 1, 1, tzinfo=UTC)}
        for offset in (100, 101)
    ]
    assert batch.messages.tolist() == [0, 1]
    rows = batch.predictions.to_pylist()
    assert all(start <= row.pop("scored_at") <= datetime.now(UTC) for row in rows)
    elapsed = [row.pop("inference_ms") for row in rows]
    assert elapsed[0] == elapsed[1] >= 0
    fixed = {"model_version": 7, "role": "champion", "outputs": None, "late": False}
    assert rows == [
        {
            "event_time": datetime(2026, 1, 1, tzinfo=UTC),
            "event_id": "a",
            "score": 1.5,
            **fixed,
            "amount": 3.0,
            "items": 1,
            "country": "de",
            "new": None,
        },
        {
            "event_time": datetime(2025, 12, 31, 23, tzinfo=UTC),
            "event_id": "5",
            "score": 0.5,
            **fixed,
            "amount": 1.0,
            "items": 2,
            "country": None,
            "new": True,
        },
    ]


def test_no_messages() -> None:
    runtime = FakeRuntime()
    batch = process([], runtime)
    assert (len(batch.predictions), rejects(batch), runtime.sizes) == (0, [], [])


def test_nothing_to_score() -> None:
    runtime = FakeRuntime()
    batch = process([None, b"[]"], runtime)
    assert [reason for _, reason, _ in rejects(batch)] == ["empty", "not_an_object"]
    assert runtime.sizes == []


def test_missing_features() -> None:
    runtime = FakeRuntime(needed=("items", "country"))
    payloads = [event(amount="1"), event(amount="1", items="1", country='""'), event(country='"x"')]
    batch = process(payloads, runtime)
    text = "missing value: the model requires 'items', 'country'"
    assert rejects(batch) == [(0, "missing_feature", text), (2, "missing_feature", text)]
    assert batch.messages.tolist() == [1]
    assert runtime.sizes == [1]


def test_scores_that_are_no_numbers() -> None:
    def scores(features: pa.RecordBatch) -> Outputs:
        return {"score": np.array([0.5, np.nan, np.inf, -np.inf, 1e308][: len(features)])}

    batch = process([b""] + [event(items="1")] * 5, FakeRuntime(scores))
    assert rejects(batch)[1:] == [
        (message, "not_finite_score", f"the score is {score}")
        for message, score in ((2, "nan"), (3, "inf"), (4, "-inf"))
    ]
    assert batch.messages.tolist() == [1, 5]
    assert batch.predictions.column("score").to_pylist() == [0.5, 1e308]


def test_one_output_of_one_number() -> None:
    flat = FakeRuntime(lambda features: {"late": np.full(len(features), 0.25)})
    column = FakeRuntime(lambda features: {"late": np.full((len(features), 1), 0.25)})
    for runtime in (flat, column):
        batch = process([event(items="1")] * 2, runtime)
        assert batch.predictions.column("score").to_pylist() == [0.25, 0.25]
        assert batch.predictions.column("outputs").to_pylist() == [None, None]


def test_several_outputs_are_kept_whole() -> None:
    def predict(features: pa.RecordBatch) -> Outputs:
        n = len(features)
        return {
            "classes": np.arange(3 * n, dtype=np.float32).reshape(n, 3),
            "score": np.full((n, 1), 0.25, np.float32),
            "label": np.array(["ä", "b", "c"][:n], dtype=object),
        }

    batch = process([event(items="1")] * 3, FakeRuntime(predict))
    assert batch.predictions.column("score").to_pylist() == [0.25] * 3
    outputs = [json.loads(text) for text in batch.predictions.column("outputs").to_pylist()]
    assert outputs == [
        {"classes": [0.0, 1.0, 2.0], "score": [0.25], "label": "ä"},
        {"classes": [3.0, 4.0, 5.0], "score": [0.25], "label": "b"},
        {"classes": [6.0, 7.0, 8.0], "score": [0.25], "label": "c"},
    ]


def test_one_output_of_several_numbers() -> None:
    outputs = {"classes": np.array([[0.25, 0.75]])}
    runtime = FakeRuntime(lambda _: outputs, score=Score(index=1))
    batch = process([event(items="1")], runtime)
    assert batch.predictions.column("score").to_pylist() == [0.75]
    assert batch.predictions.column("outputs").to_pylist() == ['{"classes":[0.25,0.75]}']


@given(st.sampled_from([np.float32, np.float64]), st.data())
@settings(max_examples=100, deadline=None)
def test_outputs_are_kept_to_the_last_digit(kind: type[np.floating[Any]], data: Any) -> None:
    width: Literal[32, 64] = 32 if kind is np.float32 else 64
    numbers = st.floats(width=width, allow_nan=False, allow_infinity=False)
    vectors = st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=4)
    values = np.array(data.draw(vectors), kind)
    outputs = {
        "100 %s": values,
        "score": values[:, 0],
        "turned": np.asfortranarray(values),
        "deep": values.reshape(-1, 1, 3, 1),
    }
    runtime = FakeRuntime(lambda features: {k: v[: len(features)] for k, v in outputs.items()})
    batch = process([event(items="1")] * len(values), runtime)
    rows = [json.loads(text) for text in batch.predictions.column("outputs").to_pylist()]
    for name, expected in outputs.items():
        restored = np.array([row[name] for row in rows], kind)
        assert (restored == expected).all()


def test_outputs_of_every_type() -> None:
    import ml_dtypes

    outputs: Outputs = {
        "score": np.array([1e-12], np.float64),
        "bad": np.array([[np.nan, np.inf, -np.inf]], np.float32),
        "texts": np.array([["ä/", "b"]], dtype=object),
        "whole": np.array([2**64 - 1], np.uint64),
        "flag": np.array([[True]]),
        "empty": np.empty((1, 0, 3), np.float32),
        "half": np.array([1.5], ml_dtypes.bfloat16),
        "halves": np.array([[1.5, 2.0]], ml_dtypes.bfloat16),
        "complex": np.array([[1 + 2j]], np.complex64),
    }
    batch = process([event(items="1")], FakeRuntime(lambda _: outputs))
    assert json.loads(batch.predictions.column("outputs")[0].as_py()) == {
        "score": 1e-12,
        "bad": [None, None, None],
        "texts": ["ä/", "b"],
        "whole": 2**64 - 1,
        "flag": [True],
        "empty": [],
        "half": 1.5,
        "halves": [1.5, 2.0],
        "complex": [{"real": 1.0, "imag": 2.0}],
    }


def test_outputs_of_rejected_rows_go_with_them() -> None:
    def predict(features: pa.RecordBatch) -> Outputs:
        n = len(features)
        return {"score": np.array([np.nan, 1.0][:n]), "other": np.array([1.0, 2.0][:n])}

    batch = process([event(items="1")] * 2, FakeRuntime(predict))
    assert batch.messages.tolist() == [1]
    assert batch.predictions.column("outputs").to_pylist() == ['{"score":1.0,"other":2.0}']


def unlucky(features: pa.RecordBatch) -> Outputs:
    if 13.0 in features.column("amount").to_pylist():
        raise RuntimeError("13 is unlucky")
    return halves(features)


def test_rows_that_the_model_fails_on_are_rejected() -> None:
    amounts = ["1", "13", "2", "13", "3"]
    payloads = [event(amount=amount, items="1") for amount in amounts]
    batch = process([None, *payloads], FakeRuntime(unlucky))
    detail = "RuntimeError: 13 is unlucky"
    assert rejects(batch)[1:] == [(2, "model_failed", detail), (4, "model_failed", detail)]
    assert batch.messages.tolist() == [1, 3, 5]
    assert batch.predictions.column("amount").to_pylist() == [1.0, 2.0, 3.0]
    assert batch.predictions.column("score").to_pylist() == [0.5, 1.0, 1.5]


def test_a_row_alone_that_the_model_fails_on_is_rejected() -> None:
    batch = process([event(amount="13", items="1")], FakeRuntime(unlucky))
    assert rejects(batch) == [(0, "model_failed", "RuntimeError: 13 is unlucky")]


def test_a_model_that_fails_on_all_of_a_large_batch_is_at_fault() -> None:
    payloads = [event(amount="13", items="1")] * SYSTEMATIC_FAILURE_ROWS
    with pytest.raises(RuntimeError, match="13 is unlucky"):
        process(payloads, FakeRuntime(unlucky))


def test_late_rows_say_so() -> None:
    payloads = [event(amount="1", items="1"), b"", event(amount="1", items="2")]
    batch = process(payloads, late=[True, True, False])
    assert batch.predictions.column("late").to_pylist() == [True, False]


def test_columns_of_the_query_stay_with_their_messages() -> None:
    first, second, third = (event(amount="1", items=str(items)) for items in (1, 2, 3))
    payloads = [first, b"", second, third]
    section = model(sql={"last_hour": "int", "keep": "bool"})
    added: dict[str, list[Any]] = {"last_hour": [1, 2, None, 4], "keep": [True, True, True, None]}
    batch = process(payloads, section=section, added=added)
    assert batch.predictions.select(["items", "last_hour"]).to_pylist() == [
        {"items": 1, "last_hour": 1},
        {"items": 2, "last_hour": None},
    ]
    assert batch.messages.tolist() == [0, 2]
    assert batch.filtered.tolist() == [3]
    assert rejects(batch) == [(1, "empty", "the message is empty")]


def test_every_stage_in_one_batch() -> None:
    payloads = [
        event(amount="20", items="1"),
        event(amount="5", items="1"),
        event(amount="13", items="1"),
        b"oops",
        event(amount="50", items="1"),
        event(amount="1e308", items="1"),
    ]

    def scores(features: pa.RecordBatch) -> Outputs:
        with np.errstate(over="ignore"):
            return {"score": features.column("amount").to_numpy() * 10.0}

    section = model("picky_large")
    batch = process(payloads, FakeRuntime(scores, needed=()), section)
    assert batch.messages.tolist() == [0, 4]
    assert batch.filtered.tolist() == [1]
    assert rejects(batch) == [
        (2, "transform_failed", "ValueError: 13 is unlucky"),
        (3, "malformed_json", "JSON is malformed: invalid character (byte 0)"),
        (5, "not_finite_score", "the score is inf"),
    ]


AMOUNTS = st.sampled_from([None, "1", "13", "20", "1e308", '"x"'])


@given(st.lists(st.none() | st.builds(lambda a: event(amount=a or "null"), AMOUNTS), max_size=12))
@settings(max_examples=100, deadline=None)
def test_every_message_has_one_outcome_whatever_its_neighbours(
    payloads: list[bytes | None],
) -> None:
    runtime = FakeRuntime(unlucky, needed=("amount",))
    section = model("picky_large")
    together = process(payloads, runtime, section)
    by_message = dict(
        zip(together.messages.tolist(), together.predictions.to_pylist(), strict=True)
    )
    for message, payload in enumerate(payloads):
        alone = process([payload], runtime, section)
        if len(alone.predictions):
            [row] = alone.predictions.to_pylist()
            volatile = ("scored_at", "inference_ms")
            assert {k: v for k, v in row.items() if k not in volatile} == {
                k: v for k, v in by_message[message].items() if k not in volatile
            }
        elif len(alone.filtered):
            assert message in together.filtered
        else:
            [(_, *why)] = rejects(alone)
            assert (message, *why) in rejects(together)
