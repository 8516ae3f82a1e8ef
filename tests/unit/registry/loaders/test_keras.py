"""Running Keras models by columns, and refusing files that could run code."""

import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.errors import RegistryError
from driftline.registry import loaders
from driftline.registry.loaders import keras as loader
from driftline.registry.runtime import score
from driftline.registry.safety.keras_archive import refuse_unsafe
from tests.unit.registry import keras_models

pytestmark = pytest.mark.tensorflow

keras: Any = None


@pytest.fixture(scope="module", autouse=True)
def heavy() -> None:
    """Imported here and not when tests are found, which each worker does."""
    globals().update(keras=import_module("keras"))


SCHEMA = pa.schema(
    [
        ("x", pa.float64()),
        ("k", pa.int64()),
        ("c", pa.string()),
        ("image", pa.list_(pa.float32(), 16)),
    ]
)


def batch(n: int) -> pa.RecordBatch:
    rows = [{"x": 0.5 * i, "k": i % 5, "c": "a", "image": [float(i)] * 16} for i in range(n)]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keras_models.save(tmp_path_factory.mktemp("keras") / "m.keras")


def test_it_predicts_from_named_columns(saved: Path) -> None:
    model = loader.load(saved)
    model.check(SCHEMA)
    outputs = model.predict(batch(7))
    expected = [2 * 0.5 * i + i % 5 + 0.5 + 0.25 * i for i in range(7)]
    assert score(outputs) == pytest.approx(expected)
    assert outputs["name"].ravel().tolist() == ["low"] * 3 + ["high"] * 4
    assert outputs["classes"].shape == (7, 3)
    assert outputs["classes"].sum(axis=1) == pytest.approx(np.ones(7))


def test_a_version_is_loaded_by_what_it_holds(saved: Path, tmp_path: Path) -> None:
    from driftline.registry.files import layout

    layout.copy_model(saved, tmp_path / "version")
    assert layout.kind(tmp_path / "version") == "keras"
    model = loaders.load(tmp_path / "version")
    assert score(model.predict(batch(1))).tolist() == [0.5]


def test_other_structures_of_inputs(tmp_path: Path) -> None:
    sequential = keras.Sequential([keras.Input((1,), name="q"), keras.layers.Dense(1, name="d")])
    sequential.save(tmp_path / "s.keras")
    first = loader.load(tmp_path / "s.keras")
    assert (list(first.inputs), list(first.outputs)) == (["q"], ["d"])
    a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    keras.Model([b, a], [keras.layers.Subtract(name="less")([b, a])]).save(tmp_path / "l.keras")
    two = loader.load(tmp_path / "l.keras")
    rows = pa.RecordBatch.from_pydict({"a": [1.0, 2.0], "b": [5.0, 5.0]})
    assert score(two.predict(rows)).tolist() == [4.0, 3.0]


def _saved(layer: Any, path: Path) -> Path:
    x = keras.Input((1,), name="x")
    keras.Model(x, layer(x)).save(path)
    return path


def test_a_lambda_is_refused(tmp_path: Path) -> None:
    path = _saved(keras.layers.Lambda(lambda x: x * 2), tmp_path / "m.keras")
    with pytest.raises(RegistryError, match=r"has a (Lambda|__lambda__), which contains"):
        loader.load(path)


def test_an_object_of_another_package_is_refused(tmp_path: Path) -> None:
    class Doubling(keras.layers.Layer):  # type: ignore[misc]
        """A layer that is not Keras' own."""

        def call(self, x: Any) -> Any:
            return x * 2

    custom = keras.saving.get_custom_objects()
    keras.saving.register_keras_serializable(package="someones")(Doubling)
    path = _saved(Doubling(), tmp_path / "m.keras")
    custom.clear()  # what is registered goes into every model that MLflow logs
    with pytest.raises(RegistryError, match="needs 'someones>Doubling', a class or function"):
        loader.load(path)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"module": "os", "class_name": "function", "config": "system"}, "'os.system'"),
        ({"module": "keras.utils", "class_name": "get_file", "config": {}}, "keras.utils.get_file"),
        ({"module": "kerasx.layers", "class_name": "Dense", "config": {}}, "kerasx.layers.Dense"),
        ({"class_name": "Dense", "config": {}}, "'Dense'"),
        ({"class_name": "__lambda__", "config": {"value": ["4wEA"]}}, "has a __lambda__"),
        ({"module": "keras.layers", "class_name": "TFSMLayer", "config": {}}, "has a TFSMLayer"),
        ({"vocabulary": "/etc/passwd"}, "reads vocabulary from the file '/etc/passwd'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_parts_that_are_refused(saved: Path, part: dict[str, Any], message: str) -> None:
    changed = keras_models.rewrite(
        saved, lambda config: config["config"]["layers"][0]["config"].update(hidden=[part])
    )
    with pytest.raises(RegistryError, match=message.replace(".", r"\.")):
        refuse_unsafe(changed)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../outside.txt", "points outside the archive"),
        ("/etc/cron.d/x", "points outside the archive"),
        ("assets/a.npy", "may be a pickle"),
        ("custom.pkl", "may be a pickle"),
        ("code.py", "is not part of a Keras model"),
    ],
)
def test_members_that_are_refused(saved: Path, name: str, message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        refuse_unsafe(keras_models.rewrite(saved, members={name: b"x"}))


def test_a_link_in_the_archive_is_refused(saved: Path, tmp_path: Path) -> None:
    changed = keras_models.rewrite(saved)
    link = zipfile.ZipInfo("assets/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(changed, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(RegistryError, match="points outside the archive"):
        refuse_unsafe(changed)


def test_what_is_no_keras_model(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"nonsense")
    with pytest.raises(RegistryError, match="is not a Keras model: File is not a zip file"):
        loader.load(tmp_path / "m.keras")
    with pytest.raises(RegistryError, match="no Keras model"):
        loader.load(tmp_path)


def test_weights_that_do_not_fit(saved: Path) -> None:
    changed = keras_models.rewrite(saved, members={"model.weights.h5": b"nonsense"})
    with pytest.raises(RegistryError, match="can't load the Keras model in"):
        loader.load(changed)
