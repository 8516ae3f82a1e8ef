"""Training: it learns, twice the same, and what it exports runs by columns."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from driftline.demo.train import train
from driftline.errors import DriftlineError
from driftline.registry.loaders import saved_model

pytestmark = pytest.mark.tensorflow

N = 4_000


def table() -> tuple[pa.Table, npt.NDArray[np.bool_]]:
    random = np.random.default_rng(0)
    delay = random.normal(size=N) * 20
    carrier = random.choice(["AA", "UA"], N)
    late = delay + 15 * (carrier == "AA") + random.normal(size=N) > 15
    features = {
        "dep_delay": pa.array(delay, mask=random.random(N) < 0.02),
        "carrier": pa.array(carrier),
        "hour": pa.array(random.integers(0, 24, N)),
        "constant": pa.array(np.ones(N)),
    }
    return pa.table(features), late


def test_it_learns_and_serves_named_columns(tmp_path: Path) -> None:
    features, late = table()
    trained = train(features, late, tmp_path / "model", seed=3, epochs=20)
    assert trained.metrics["auc"] > 0.97
    assert trained.metrics["rows_held_out"] == 600
    model = saved_model.load(trained.path)
    model.check(features.schema)
    assert set(model.inputs) == set(features.column_names)
    rows = [
        {"dep_delay": 100.0, "carrier": "AA", "hour": 5, "constant": 1.0},
        {"dep_delay": -100.0, "carrier": "never seen", "hour": 5, "constant": 1.0},
        {"dep_delay": None, "carrier": None, "hour": 5, "constant": 1e308},
    ]
    late_probability = model.predict(pa.RecordBatch.from_pylist(rows, features.schema))["late"]
    assert late_probability[0] > 0.9
    assert late_probability[1] < 0.1
    assert np.isfinite(late_probability).all()


def test_the_same_seed_gives_the_same_model(tmp_path: Path) -> None:
    features, late = table()
    trained = [train(features, late, tmp_path / name, seed=5, epochs=1) for name in "ab"]
    assert trained[0].metrics == trained[1].metrics
    batch = features.combine_chunks().to_batches()[0]
    scores = [saved_model.load(made.path).predict(batch)["late"] for made in trained]
    assert np.array_equal(scores[0], scores[1])


def test_too_little_to_learn_from(tmp_path: Path) -> None:
    features, late = table()
    with pytest.raises(DriftlineError, match="can't train on 50 rows with"):
        train(features.slice(0, 50), late[:50], tmp_path / "model")
    with pytest.raises(DriftlineError, match="can't train on 4000 rows with 0 late ones"):
        train(features, np.zeros(N), tmp_path / "model")
