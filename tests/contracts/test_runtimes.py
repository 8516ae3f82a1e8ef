"""What every runtime must do alike: one model, exported in each form, run by each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from driftline.config import Registry, TensorFlowServing
from driftline.errors import RegistryError
from driftline.registry import manifest
from driftline.registry.files import layout
from driftline.registry.loaders import load
from driftline.registry.runtime import Runtime, score
from driftline.streaming.scoring.isolate import run_isolated
from tests.unit.registry import keras_models

pytestmark = pytest.mark.tensorflow

SCHEMA = pa.schema(
    [
        ("x", pa.float64()),
        ("k", pa.int64()),
        ("c", pa.string()),
        ("image", pa.list_(pa.float32(), 16)),
    ]
)


def batch(n: int, seed: int = 0) -> pa.RecordBatch:
    """n rows as a feature definition gives them."""
    random = np.random.default_rng(seed)
    columns = [
        pa.array(random.normal(size=n)),
        pa.array(random.integers(-5, 5, n)),
        pa.array(random.choice(["a", "b", "ä", ""], n), pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(random.random(n * 16, np.float32)), 16),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def expected(rows: pa.RecordBatch) -> npt.NDArray[np.float64]:
    """The score, computed by hand."""
    images = np.array(rows.column("image").to_pylist()).reshape(-1, 4, 4)
    x = rows.column("x").to_numpy(zero_copy_only=False)
    k = rows.column("k").to_numpy()
    words = np.array([keras_models.WORDS.get(text, 0.0) for text in rows.column("c").to_pylist()])
    return np.asarray(x * 2 + k + 0.5 * words + 0.25 * images.mean(axis=1)[:, 0], np.float64)


@dataclass(frozen=True)
class Forms:
    """The model in each form: folders of versions, and the address of a server."""

    saved_model: Path
    keras: Path
    url: str

    def serving(self, form: str) -> Registry:
        settings = TensorFlowServing.model_validate(
            {
                "url": self.url,
                "version": "latest",
                "format": form,
                "missing": "null",
                "batch_rows": 300,
            }
        )
        return Registry(name="conformance", serving=settings)


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory, model_server: str) -> Forms:
    folder = tmp_path_factory.mktemp("forms")
    model = keras_models.build()
    model.save(folder / "m.keras")
    model.export(folder / "exported", format="tf_saved_model", verbose=False)
    for name, source in {"saved_model": "exported", "keras": "m.keras"}.items():
        version = folder / name
        layout.copy_model(folder / source, version)
        manifest.write(version, load(version), pa.Table.from_batches([batch(3)]))
    return Forms(folder / "saved_model", folder / "keras", model_server)


RUNTIMES: dict[str, Callable[[Forms], Runtime]] = {
    "saved_model": lambda forms: load(forms.saved_model),
    "keras": lambda forms: load(forms.keras),
    "tf_serving_row": lambda forms: load(forms.keras, forms.serving("row"), 1),
    "tf_serving_columns": lambda forms: load(forms.keras, forms.serving("columns"), 1),
}


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, forms: Forms) -> Runtime:
    return RUNTIMES[request.param](forms)


def test_inputs_and_outputs_are_known(runtime: Runtime) -> None:
    assert {name: (t.dtype.kind, t.shape) for name, t in runtime.inputs.items()} == {
        "x": ("f", (1,)),
        "k": ("i", (1,)),
        "c": ("O", (1,)),
        "image": ("f", (4, 4)),
    }
    assert set(runtime.outputs) == {"score", "classes", "name"}


@pytest.mark.parametrize("n", [0, 1, 7, 1_000])
def test_the_same_batch_gets_the_same_scores(runtime: Runtime, n: int) -> None:
    rows = batch(n)
    outputs = runtime.predict(rows)
    assert score(outputs) == pytest.approx(expected(rows), rel=1e-5, abs=1e-5)


def test_many_outputs(runtime: Runtime) -> None:
    rows = batch(50)
    outputs = runtime.predict(rows)
    assert {name: values.shape for name, values in outputs.items()} == {
        "score": (50, 1),
        "classes": (50, 3),
        "name": (50, 1),
    }
    assert outputs["classes"].sum(axis=1) == pytest.approx(np.ones(50), rel=1e-5)
    high = rows.column("x").to_numpy() > 1
    assert outputs["name"].ravel().tolist() == ["high" if one else "low" for one in high]


def test_missing_values(runtime: Runtime) -> None:
    rows = pa.RecordBatch.from_pylist(
        [
            {"x": None, "k": 1, "c": "a", "image": [0.0] * 16},
            {"x": 1.0, "k": 1, "c": None, "image": [0.0] * 16},
            {"x": 1.0, "k": None, "c": "a", "image": [0.0] * 16},
            {"x": 1.0, "k": 1, "c": "a", "image": None},
            {"x": 1.0, "k": 2**31, "c": "a", "image": [0.0] * 16},
        ],
        schema=SCHEMA,
    )
    bad, columns = runtime.unusable(rows)
    assert (bad.tolist(), sorted(columns)) == ([False, False, True, True, True], ["image", "k"])
    outputs = runtime.predict(rows.filter(pa.array(~bad)))
    assert score(outputs) == pytest.approx([np.nan, 3.0], nan_ok=True)


def test_a_slice_of_a_batch(runtime: Runtime) -> None:
    whole = batch(40)
    part = whole.slice(11, 13)
    assert score(runtime.predict(part)) == pytest.approx(expected(whole)[11:24], rel=1e-5)


def test_wrong_columns_are_named(runtime: Runtime) -> None:
    runtime.check(SCHEMA)
    with pytest.raises(RegistryError, match="model input 'k' has no feature column"):
        runtime.check(SCHEMA.remove(1))
    with pytest.raises(RegistryError, match="model input 'c' takes text, but its feature column"):
        runtime.check(SCHEMA.set(2, pa.field("c", pa.int64())))
    wrong = pa.list_(pa.float32(), 15)
    with pytest.raises(RegistryError, match=r"'image' takes float32 tensors of shape \(4, 4\)"):
        runtime.check(SCHEMA.set(3, pa.field("image", wrong)))


@pytest.mark.parametrize("form", ["row", "columns"])
def test_one_bad_row_fails_alone(forms: Forms, form: str) -> None:
    runtime = load(forms.keras, forms.serving(form), 1)
    rows = batch(20)
    texts = ["poison" if row == 13 else "a" for row in range(20)]
    table = pa.Table.from_batches([rows]).set_column(2, "c", pa.array(texts))
    rows = table.combine_chunks().to_batches()[0]
    failed: dict[int, str] = {}
    parts, good = run_isolated(
        runtime.predict, rows, lambda row, error: failed.update({row: str(error)})
    )
    assert list(failed) == [13]
    assert "no poison" in failed[13]
    scores = np.concatenate([score(part) for part in parts])
    assert scores == pytest.approx(expected(rows)[good], rel=1e-5)
