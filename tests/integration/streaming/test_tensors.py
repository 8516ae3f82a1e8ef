"""An image's way from an event to its stored row."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from driftline.config import Config, Model, load
from driftline.errors import SchemaError
from driftline.profile.build import build
from driftline.records import ScoredBatch
from driftline.registry.loaders import keras as loader
from driftline.storage.connection import connect
from driftline.storage.log.write import Target, Writer
from driftline.storage.tables import schema
from driftline.streaming.history.history import features_of_history
from driftline.streaming.scoring.batch_scorer import BatchScorer, Messages
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.lineup import Lineup, Served
from tests.unit.registry import keras_models

SECTION: dict[str, Any] = {
    "input": {
        "topic": "images",
        "event_id": "id",
        "event_time": "at",
        "fields": {
            "x": "float",
            "k": "int",
            "c": "string",
            # as columns of the job's own queries could be called
            **dict.fromkeys(("body", "reject_reason", "messages", "f"), "float"),
            "image": {"type": "tensor", "shape": [4, 4]},
        },
        "accept": {"since": "2025-01-01", "until": "2027-01-01"},
    },
    "registry": {"name": "images"},
}
IMAGE = [[1.0, 2.0, 3.0, 4.5]] * 4


def lines(n: int) -> list[bytes]:
    """Events; the image of every third is its number, some have none or a wrong one."""
    images: dict[int, Any] = {1: None, 2: [[1.0]]}
    return [
        json.dumps(
            {"id": f"e{i}", "at": f"2026-01-01T00:00:{i:02}Z", "x": 1.0, "k": i, "c": "a"}
            | {"image": images.get(i, (np.array(IMAGE) + i).tolist())}
        ).encode()
        for i in range(n)
    ]


def scored(payloads: list[bytes], model: Model, path: Path, first: int = 0) -> ScoredBatch:
    definition = FeatureDefinition(model)
    n = len(payloads)
    messages = Messages(
        payloads=payloads,
        partition=np.zeros(n, np.int32),
        offset=np.arange(first, first + n),
        kafka_time=np.full(n, np.datetime64("2026-01-01", "us")),
        late=np.zeros(n, bool),
        added=pa.RecordBatch.from_struct_array(pa.array([{}] * n, pa.struct([]))),
    )
    decoder = DECODERS["json"](model.input)
    return BatchScorer(decoder, definition)(messages, Lineup(Served(1, loader.load(path))))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keras_models.save(tmp_path_factory.mktemp("images") / "m.keras")


def test_an_image_is_scored_and_stored(empty_database: Callable[[], Config], path: Path) -> None:
    model = Model.model_validate(SECTION)
    config = empty_database().model_copy(update={"models": {"images": model}})
    features = FeatureDefinition(model).schema
    schema.migrate(config, {"images": features})
    batch = scored(lines(8), model, path)
    reasons = {reject["message"]: reject["reason"] for reject in batch.rejects.to_pylist()}
    assert reasons == {1: "missing_feature", 2: "wrong_shape"}
    table = pa.Table.from_batches([batch.predictions.select(features.names)])
    binning = build(table, batch.predictions.column("score").to_numpy())
    with connect(config.postgres, "write") as connection:
        schema.check(connection, "images", features)
        writer = Writer(connection, Target("images", "images", lambda _: binning, ()))
        assert writer.write(batch).logged == 6
        # the same events again, at other offsets, with new ones between: the careful way
        again = writer.write(scored(lines(10), model, path, first=100))
        assert (again.logged, again.duplicate) == (2, 6)
        rows = connection.execute(
            "SELECT event_id, score, image FROM driftline.prediction_images ORDER BY k"
        ).fetchall()
        assert [row[0] for row in rows] == [f"e{i}" for i in (0, *range(3, 10))]
        for event_id, score, image in rows:
            number = int(event_id[1:])
            assert image == (np.array(IMAGE) + number).ravel().tolist()
            assert score == pytest.approx(2 + number + 0.5 + 0.25 * (1 + number))
        other = features.set(features.get_field_index("image"), pa.field("image", pa.string()))
        with pytest.raises(SchemaError, match=r"'image' .* is tensor in the database and string"):
            schema.check(connection, "images", other)


def test_history_has_the_same_images(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(lines(6)) + b"\n")
    path = tmp_path / "driftline.yaml"
    path.write_text(
        yaml.safe_dump({"state": str(tmp_path / "state"), "models": {"images": SECTION}})
    )
    events, target = tmp_path / "events.jsonl", tmp_path / "features.parquet"
    table = features_of_history(path, load(path), "images", events, target)
    assert table["event_id"].to_pylist() == ["e0", "e1", "e3", "e4", "e5"]
    assert table.schema.field("image").type == pa.list_(pa.float32(), 16)
    images = dict(zip(table["event_id"].to_pylist(), table["image"].to_pylist(), strict=True))
    assert images["e1"] is None
    assert images["e4"] == (np.array(IMAGE) + 4).ravel().tolist()
