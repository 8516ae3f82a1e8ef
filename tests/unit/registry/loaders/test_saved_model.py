"""Running a SavedModel by columns."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.config import Score
from driftline.errors import RegistryError
from driftline.registry.loaders import saved_model
from driftline.registry.loaders.in_process import InProcess
from driftline.registry.runtime import score
from driftline.streaming.scoring.isolate import run_isolated
from tests.unit.registry import saved_models

pytestmark = pytest.mark.tensorflow

tf: Any = None


@pytest.fixture(scope="module", autouse=True)
def heavy() -> None:
    """Imported here and not when tests are found, which each worker does."""
    globals().update(tf=import_module("tensorflow"))


SCHEMA = pa.schema([("x", pa.float64()), ("k", pa.int64()), ("c", pa.string()), ("b", pa.bool_())])


def batch(rows: list[tuple[object, ...]]) -> pa.RecordBatch:
    arrays = [pa.array([row[i] for row in rows], SCHEMA.field(i).type) for i in range(4)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


@pytest.fixture(scope="module", params=[False, True], ids=["(None,)", "(None, 1)"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    folder = saved_models.save(tmp_path_factory.mktemp("model") / "m", wide=request.param)
    return saved_model.load(folder)


def test_it_predicts_from_named_columns(model: InProcess) -> None:
    rows = batch([(1.5, 1, "a", True), (None, 2, None, False), (-1.0, 0, "ä", True)])
    outputs = model.predict(rows)
    assert score(outputs) == pytest.approx([4.0, np.nan, -2.0], nan_ok=True)
    assert outputs["copied"].ravel().tolist() == ["a", "", "ä"]
    assert set(model.inputs) == {"x", "k", "c", "b"}
    assert set(model.outputs) == {"score", "copied", "both"}


@pytest.mark.parametrize("n", [0, 1, 7, 10_000])
def test_any_batch_size(model: InProcess, n: int) -> None:
    outputs = model.predict(batch([(0.5 * i, i, "c", False) for i in range(n)]))
    assert score(outputs) == pytest.approx([2.0 * i for i in range(n)])


def test_versions_that_share_a_batch_score_each_for_itself(
    model: InProcess, tmp_path: Path
) -> None:
    other = saved_model.load(saved_models.save(tmp_path / "other", factor=3.0))
    first = batch([(1.5, 1, "a", True), (2.5, 2, "b", False)])
    for rows in (first, first.slice(1), batch([(4.0, 1, "c", True)])):
        doubled, tripled = model.predict(rows), other.predict(rows)
        assert score(tripled) - score(doubled) == pytest.approx(rows.column("x").to_pylist())
        assert score(model.predict(rows)) == pytest.approx(score(doubled))
        assert doubled["copied"].ravel().tolist() == rows.column("c").to_pylist()


def test_columns_that_are_no_inputs_are_ignored(model: InProcess) -> None:
    rows = batch([(1.0, 1, "a", True)])
    wider = pa.RecordBatch.from_arrays(
        [pa.array(["?"]), *rows.columns], names=["other", *SCHEMA.names]
    )
    assert score(model.predict(wider)).tolist() == [3.0]
    model.check(wider.schema)


def test_missing_whole_numbers_and_bools_are_unusable(model: InProcess) -> None:
    rows = batch(
        [
            (None, 1, None, True),
            (1.0, None, "a", True),
            (1.0, 1, "a", None),
            (1.0, 2**31, "a", True),
        ]
    )
    bad, columns = model.unusable(rows)
    assert bad.tolist() == [False, True, True, True]
    assert sorted(columns) == ["b", "k"]
    good = rows.filter(pa.array(~bad))
    assert model.unusable(good)[0].tolist() == [False]
    model.predict(good)


def test_a_usable_batch_names_no_columns(model: InProcess) -> None:
    bad, columns = model.unusable(batch([(1.0, 1, "a", True)]))
    assert (bad.tolist(), list(columns)) == ([False], [])


def test_a_number_too_large_for_the_input_is_infinite(model: InProcess) -> None:
    assert score(model.predict(batch([(1e308, 1, "a", True)]))).tolist() == [np.inf]


def test_check_names_the_column(model: InProcess) -> None:
    with pytest.raises(RegistryError, match=r"input 'b' has no feature column \(available: x"):
        model.check(SCHEMA.remove(3))
    with pytest.raises(RegistryError, match="model input 'c' takes text, but its feature column"):
        model.check(SCHEMA.set(2, pa.field("c", pa.int64())))
    with pytest.raises(RegistryError, match="model input 'k' takes int32, but its feature column"):
        model.check(SCHEMA.set(1, pa.field("k", pa.float64())))


def test_a_matrix_takes_a_column_of_tensors(tmp_path: Path) -> None:
    loaded = saved_model.load(saved_models.save_matrix(tmp_path / "m"))
    with pytest.raises(
        RegistryError, match=r"takes float32 tensors of shape \(3,\), but .* double"
    ):
        loaded.check(pa.schema([("x", pa.float64())]))
    with pytest.raises(RegistryError, match=r"takes float32 tensors of shape \(3,\), but .*\[4\]"):
        loaded.check(pa.schema([("x", pa.list_(pa.float32(), 4))]))
    schema = pa.schema([("x", pa.list_(pa.float32(), 3))])
    loaded.check(schema)
    rows = pa.RecordBatch.from_pylist(
        [{"x": [1.0, 2.0, 3.0]}, {"x": None}, {"x": [4.0, 5.0, 6.0]}], schema=schema
    )
    bad, columns = loaded.unusable(rows)
    assert (bad.tolist(), list(columns)) == ([False, True, False], ["x"])
    assert score(loaded.predict(rows.filter(pa.array(~bad)))).tolist() == [6.0, 15.0]
    assert score(loaded.predict(rows.slice(2))).tolist() == [15.0]


def test_an_output_without_rows_is_refused(tmp_path: Path) -> None:
    folder = saved_models.save_scalar(tmp_path / "m")
    with pytest.raises(RegistryError, match=r"output 'y' of the SavedModel .* for one row"):
        saved_model.load(folder)


@pytest.mark.parametrize(
    ("more", "rows"),
    [
        (lambda _: tf.constant([0.5]), "3 rows"),
        (lambda _: tf.constant([0.5, 0.5, 0.5]), "one row"),
        (lambda x: tf.reduce_mean(x, axis=0, keepdims=True), "3 rows"),
        (lambda _: tf.constant(["high"]), "3 rows"),
        (lambda _: tf.constant("high"), "one row"),
    ],
    ids=["constant", "as-long-as-the-test-batch", "mean", "text", "one-text"],
)
def test_an_output_of_another_length_is_refused(tmp_path: Path, more: Any, rows: str) -> None:
    folder = saved_models.save_two(tmp_path / "m", more)
    with pytest.raises(RegistryError, match=f"output 'more' of the SavedModel .* for {rows}"):
        saved_model.load(folder)


def test_an_output_without_known_dimensions_is_refused(tmp_path: Path) -> None:
    folder = saved_models.save_two(tmp_path / "m", tf.squeeze)
    with pytest.raises(RegistryError, match=r"output of the SavedModel .* 'more' has an unknown"):
        saved_model.load(folder)


def test_an_output_that_loses_rows_later_is_a_failure_of_the_version(tmp_path: Path) -> None:
    folder = saved_models.save_two(tmp_path / "m", lambda x: tf.boolean_mask(x, x >= 0))
    model = saved_model.load(folder)
    rows = pa.RecordBatch.from_pydict({"x": [1.0, -1.0, 2.0]})
    with pytest.raises(RegistryError, match=r"output 'more' of the model has shape \(2,\) for 3"):
        model.predict(rows)
    failed: dict[int, Exception] = {}
    parts, covered = run_isolated(model.predict, rows, failed.__setitem__)
    assert (covered.tolist(), list(failed)) == ([0, 2], [1])
    assert [part["score"].tolist() for part in parts] == [[1.0], [2.0]]


def test_tensorflow_starts_without_what_others_may_still_import() -> None:
    program = """
import sys
from driftline.registry.loaders.in_process import import_tensorflow
import_tensorflow()
assert not {"keras", "h5py", "scipy"} & set(sys.modules)
import h5py, scipy
from tensorflow.keras.callbacks import Callback  # as MLflow does, and a transform may
import keras
assert issubclass(Callback, keras.callbacks.Callback)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_no_saved_model(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"no SavedModel \(saved_model.pb\) in"):
        saved_model.load(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(RegistryError, match="can't load the SavedModel in"):
        saved_model.load(tmp_path)


def test_the_score_is_the_first_output_unless_one_is_named_so() -> None:
    assert score({"a": np.array([1.0, 2.0]), "z": np.zeros(2)}).tolist() == [1.0, 2.0]
    named = np.array([[1.0], [2.0]])
    assert score({"a": np.zeros(2), "score": named}).tolist() == [1.0, 2.0]
    assert score({"name": np.array(["a"], object), "p": np.array([0.5])}).tolist() == [0.5]


def test_of_several_numbers_a_row_one_is_chosen() -> None:
    outputs = {"proba": np.array([[0.1, 0.9], [0.3, 0.7]]), "other": np.zeros(2)}
    with pytest.raises(RegistryError, match=r"'proba' has 2 numbers per row: .*index: 1"):
        score(outputs)
    assert score(outputs, Score(index=1)).tolist() == [0.9, 0.7]
    assert score(outputs, Score(output="other")).tolist() == [0.0, 0.0]
    assert score({"p": np.arange(12.0).reshape(2, 2, 3)}, Score(index=4)).tolist() == [4.0, 10.0]
    assert score({"p": np.empty((0, 2))}, Score(index=1)).tolist() == []
    with pytest.raises(RegistryError, match=r"index is 2, but .* has 2 numbers per row"):
        score(outputs, Score(index=2))
    with pytest.raises(RegistryError, match=r"'absent', but the model has no .*'proba', 'other'"):
        score(outputs, Score(output="absent"))


def test_without_numbers_there_is_no_score() -> None:
    with pytest.raises(RegistryError, match="none of the model's outputs 'name' can be the score"):
        score({"name": np.array(["a"], object)})
    with pytest.raises(RegistryError, match="can be the score"):
        score({"p": np.array([0.5]), "score": np.array(["a"], object)})
