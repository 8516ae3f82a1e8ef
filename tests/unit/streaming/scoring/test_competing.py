"""Several versions over the same batches: who serves, who only scores, who is at fault."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.errors import ServiceError
from driftline.records import PREDICTION, SHADOW, ScoredBatch
from driftline.registry.loaders.shared_inputs import shared_input
from driftline.streaming.scoring.batch_scorer import BatchScorer, Messages
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.isolate import SYSTEMATIC_FAILURE_ROWS
from driftline.streaming.scoring.lineup import Lineup, Served, in_canary
from driftline.streaming.scoring.version_fault import FaultyVersionError
from tests.unit.streaming.decoding import NOW
from tests.unit.streaming.scoring.test_batch_scorer import FakeRuntime, Outputs
from tests.unit.streaming.scoring.test_features import model

SECTION = model()


def gives(value: float) -> FakeRuntime:
    return FakeRuntime(lambda features: {"score": np.full(len(features), value)})


def fails(message: str = "boom") -> FakeRuntime:
    def predict(_: pa.RecordBatch) -> Outputs:
        raise ValueError(message)

    return FakeRuntime(predict)


@dataclass
class Elsewhere(FakeRuntime):
    """On a model server that is away for those who can do without."""

    asked: int = 0

    def fail_fast(self) -> "Elsewhere":
        self.asked += 1
        raise ServiceError("gave no answer")


def converts(features: pa.RecordBatch) -> Outputs:
    """What all versions make of the batch takes 50 ms."""

    def make() -> Any:
        time.sleep(0.05)
        return np.zeros(len(features))

    return {"score": shared_input(features, "inputs", make)}


def odd_is_nan(features: pa.RecordBatch) -> Outputs:
    items = features.column("items").to_numpy(zero_copy_only=False).astype(float)
    return {"score": np.where(items % 2 == 1, np.nan, 9.0)}


def events(n: int) -> list[bytes]:
    return [
        json.dumps({"id": f"e{i}", "at": "2026-01-01T00:00:00Z", "items": i, "amount": 1}).encode()
        for i in range(n)
    ]


def new_process() -> Callable[[list[bytes], Lineup], ScoredBatch]:
    definition = FeatureDefinition(SECTION)
    process = BatchScorer(DECODERS["json"](SECTION.input), definition)

    def run(payloads: list[bytes], lineup: Lineup) -> ScoredBatch:
        n = len(payloads)
        messages = Messages(
            payloads=payloads,
            partition=np.zeros(n, np.int32),
            offset=np.arange(n),
            kafka_time=np.full(n, np.datetime64(NOW, "us")),
            late=np.zeros(n, dtype=bool),
            added=pa.RecordBatch.from_struct_array(pa.array([{}] * n, pa.struct([]))),
        )
        batch = process(messages, lineup)
        assert batch.predictions.schema == pa.schema([*PREDICTION, *definition.schema])
        assert batch.shadows.schema == SHADOW
        assert len(batch.messages) == len(batch.predictions)
        return batch

    return run


def served(batch: ScoredBatch) -> list[tuple[str, int, str, Any]]:
    columns = ("event_id", "model_version", "role", "score")
    return [tuple(row[c] for c in columns) for row in batch.predictions.to_pylist()]


def shadowed(batch: ScoredBatch) -> set[tuple[Any, ...]]:
    ids = batch.predictions.column("event_id").to_pylist()
    return {
        (ids[row["prediction"]], row["model_version"], row["role"], row["score"])
        for row in batch.shadows.to_pylist()
    }


def test_each_version_is_charged_for_the_inputs_that_it_shares() -> None:
    """So that a shadow is no faster than the champion by coming second."""
    champion, *shadows = (Served(number, FakeRuntime(converts)) for number in (1, 2, 3))
    batch = new_process()(events(3), Lineup(champion, shadows=tuple(shadows)))
    for rows in (batch.predictions, batch.shadows):
        assert min(rows.column("inference_ms").to_pylist()) >= 50
    assert len(batch.shadows) == 6


def test_challenger_and_shadows_score_and_do_not_serve() -> None:
    lineup = Lineup(
        Served(1, gives(0.1)), Served(2, gives(0.2)), 0.0, (Served(3, FakeRuntime(odd_is_nan)),)
    )
    batch = new_process()([*events(3), b"oops"], lineup)
    assert served(batch) == [(f"e{i}", 1, "champion", 0.1) for i in range(3)]
    assert shadowed(batch) == {
        *((f"e{i}", 2, "challenger", 0.2) for i in range(3)),
        *((f"e{i}", 3, "shadow", None if i % 2 else 9.0) for i in range(3)),
    }
    assert batch.rejects.column("reason").to_pylist() == ["malformed_json"]


def test_a_canary_serves_its_share_and_each_version_scores_all() -> None:
    payloads = events(200)
    lineup = Lineup(Served(1, gives(0.1)), Served(2, gives(0.2)), 30.0)
    batch = new_process()(payloads, lineup)
    ids = [f"e{i}" for i in range(200)]
    in_small_canary = dict(zip(ids, in_canary(pa.array(ids), 30.0).tolist(), strict=True))
    assert 0 < sum(in_small_canary.values()) < 200
    by_champion, by_challenger = (1, "champion", 0.1), (2, "challenger", 0.2)
    assert served(batch) == [
        (e, *(by_challenger if in_small_canary[e] else by_champion)) for e in ids
    ]
    assert shadowed(batch) == {
        (e, *(by_champion if in_small_canary[e] else by_challenger)) for e in ids
    }


def test_a_model_server_that_is_away_holds_up_the_champion_only_for_its_own_version() -> None:
    challenger, shadow = Elsewhere(), Elsewhere()
    lineup = Lineup(
        Served(1, gives(0.1)), Served(2, challenger), 50.0, (Served(3, shadow), Served(4, gives(1)))
    )
    process = new_process()
    for _ in range(3):
        batch = process(events(20), lineup)
        assert served(batch) == [(f"e{i}", 1, "champion", 0.1) for i in range(20)]
        assert shadowed(batch) == {(f"e{i}", 4, "shadow", 1.0) for i in range(20)}
    assert (challenger.asked, shadow.asked) == (1, 1)  # not again at each batch


def test_what_the_champion_before_cannot_save_is_rejected() -> None:
    lineup = Lineup(Served(2, FakeRuntime(odd_is_nan)), previous=Served(1, Elsewhere()))
    batch = new_process()(events(4), lineup)
    assert served(batch) == [(f"e{i}", 2, "champion", 9.0) for i in (0, 2)]
    assert batch.rejects.column("reason").to_pylist() == ["not_finite_score"] * 2


def test_where_the_challenger_fails_the_champion_serves() -> None:
    lineup = Lineup(Served(1, gives(0.1)), Served(2, FakeRuntime(odd_is_nan)), 100.0)
    batch = new_process()(events(4), lineup)
    assert served(batch) == [
        (f"e{i}", *((1, "champion", 0.1) if i % 2 else (2, "challenger", 9.0))) for i in range(4)
    ]
    assert shadowed(batch) == {
        *(("e0", 1, "champion", 0.1), ("e2", 1, "champion", 0.1)),
        *(("e1", 2, "challenger", None), ("e3", 2, "challenger", None)),
    }
    assert len(batch.rejects) == 0


def test_where_the_champion_fails_the_challenger_serves_its_share() -> None:
    lineup = Lineup(Served(1, FakeRuntime(odd_is_nan)), Served(2, gives(0.2)), 100.0)
    batch = new_process()(events(4), lineup)
    assert [row[1] for row in served(batch)] == [2, 2, 2, 2]
    lineup = Lineup(Served(1, FakeRuntime(odd_is_nan)), Served(2, gives(0.2)))
    batch = new_process()(events(4), lineup)
    assert batch.messages.tolist() == [0, 2]
    assert batch.rejects.column("message").to_pylist() == [1, 3]
    assert {row[0] for row in shadowed(batch)} == {"e0", "e2"}


@pytest.mark.parametrize("runtime", [fails(), gives(np.nan)], ids=["raises", "nan"])
@pytest.mark.parametrize("role", ["champion", "challenger", "shadow"])
def test_a_version_that_fails_where_another_does_well_is_at_fault(
    role: str, runtime: FakeRuntime
) -> None:
    bad, good = Served(2, runtime), Served(1, gives(0.1))
    lineup = {
        "champion": Lineup(bad, previous=good),
        "challenger": Lineup(good, bad, 50.0),
        "shadow": Lineup(good, shadows=(bad,)),
    }[role]
    process = new_process()
    payloads = events(SYSTEMATIC_FAILURE_ROWS)
    with pytest.raises(FaultyVersionError) as error:
        process(payloads, lineup)
    assert error.value.version == 2
    batch = process(payloads, lineup.without(2))
    assert served(batch) == [(f"e{i}", 1, "champion", 0.1) for i in range(SYSTEMATIC_FAILURE_ROWS)]


def test_small_batches_add_up() -> None:
    lineup = Lineup(Served(2, fails()), previous=Served(1, gives(0.1)))
    process = new_process()
    for _ in range(9):
        assert {
            row[1] for row in served(process(events(SYSTEMATIC_FAILURE_ROWS // 10), lineup))
        } == {1}
    with pytest.raises(FaultyVersionError, match="version 2: model_failed: ValueError: boom"):
        process(events(SYSTEMATIC_FAILURE_ROWS // 10), lineup)


def test_one_good_batch_begins_the_count_anew() -> None:
    flag = {"fail": True}

    def predict(features: pa.RecordBatch) -> Outputs:
        return {"score": np.full(len(features), np.nan if flag["fail"] else 1.0)}

    lineup = Lineup(Served(2, FakeRuntime(predict)), previous=Served(1, gives(0.1)))
    process = new_process()
    process(events(SYSTEMATIC_FAILURE_ROWS - 1), lineup)
    flag["fail"] = False
    process(events(1), lineup)
    flag["fail"] = True
    assert (
        len(process(events(SYSTEMATIC_FAILURE_ROWS - 1), lineup).predictions)
        == SYSTEMATIC_FAILURE_ROWS - 1
    )


def test_data_that_every_version_fails_on_is_nobodys_fault() -> None:
    lineup = Lineup(
        Served(3, gives(np.nan)), Served(2, gives(np.nan)), 10.0, (), Served(1, gives(np.nan))
    )
    batch = new_process()(events(2 * SYSTEMATIC_FAILURE_ROWS), lineup)
    assert set(batch.rejects.column("reason").to_pylist()) == {"not_finite_score"}
    with pytest.raises(ValueError, match="new one"):
        new_process()(
            events(SYSTEMATIC_FAILURE_ROWS),
            Lineup(Served(2, fails("new one")), previous=Served(1, fails())),
        )


def test_what_a_new_champion_fails_on_is_served_by_the_one_before() -> None:
    lineup = Lineup(Served(2, FakeRuntime(odd_is_nan)), previous=Served(1, gives(1.0)))
    batch = new_process()(events(6), lineup)
    assert served(batch) == [
        (f"e{i}", 1 if i % 2 else 2, "champion", 1.0 if i % 2 else 9.0) for i in range(6)
    ]
    assert len(batch.rejects) == 0


def test_what_both_fail_on_is_rejected() -> None:
    lineup = Lineup(Served(2, FakeRuntime(odd_is_nan)), previous=Served(1, fails()))
    batch = new_process()(events(4), lineup)
    assert [row[:2] for row in served(batch)] == [("e0", 2), ("e2", 2)]
    assert len(batch.rejects) == 2
