"""Versions made by somebody who wants to run code, reach files or take all memory.

Each changes the folder of a good version; a payload that runs makes the file `marker`.
"""

import io
import json
import pickle
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from driftline import names
from driftline.registry.files import layout
from tests.unit.registry import keras_models

Change = Callable[[Path, Path], object]


@dataclass(frozen=True)
class Hostile:
    """A version that is refused.

    Attributes:
        change: of a good version's folder; the second path is the marker.
        message: why it is refused, a regular expression.
        keras: whether the good version is a Keras model, else it is a SavedModel.
        registered: whether registering would take what is changed: driftline's own artifacts are
            made anew, and never taken from a source.
    """

    change: Change
    message: str
    keras: bool = False
    registered: bool = True


class _Touch:
    """Makes the marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._marker,))


def _pickled(marker: Path) -> bytes:
    return pickle.dumps(_Touch(marker))


def _manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / layout.MANIFEST
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


def _flavor(folder: Path, name: str, **keys: object) -> None:
    _manifest(folder, lambda content: content["flavors"].setdefault(name, {}).update(keys))


def _pyfunc(folder: Path, marker: Path) -> None:
    (folder / "python_model.bin").write_bytes(_pickled(marker))
    loader = {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.bin"}
    _flavor(folder, "python_function", **loader)


def _sklearn(folder: Path, marker: Path) -> None:
    (folder / "model.bin").write_bytes(_pickled(marker))
    _flavor(folder, "sklearn", pickled_model="model.bin", serialization_format="pickle")


def _pickle(folder: Path, marker: Path) -> None:
    (folder / "CUSTOM_OBJECTS.PKL").write_bytes(_pickled(marker))


def _code(folder: Path, marker: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code" / "mine.py").write_text(f"open({str(marker)!r}, 'w')")
    _flavor(folder, "python_function", code="code")


def _model_code(folder: Path, marker: Path) -> None:
    (folder / "model.py").write_text(f"open({str(marker)!r}, 'w')")
    _flavor(folder, "python_function", model_code_path="model.py")


def _text(text: str) -> Change:
    def change(folder: Path, _: Path) -> None:
        (folder / layout.MANIFEST).write_text(text)

    return change


def _yaml_object(folder: Path, marker: Path) -> None:
    text = f"flavors: !!python/object/apply:os.system ['touch {marker}']"
    (folder / layout.MANIFEST).write_text(text)


def _merge_bomb() -> str:
    """YAML that stands for 10^40 keys: each line has those of the line before ten times."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 41)]
    return "\n".join(lines)


def _signature(folder: Path, _: Path) -> None:
    _manifest(folder, lambda content: content.update(signature={"inputs": "[" * 100_000}))


def _two_models(folder: Path, _: Path) -> None:
    (folder / layout.KERAS_DATA).mkdir()
    (folder / layout.KERAS).write_bytes(b"")


def _graph(change: Callable[[Any], object]) -> Change:
    def changed(folder: Path, _: Path) -> None:
        from tensorflow.core.protobuf import saved_model_pb2

        path = folder / layout.MODEL / "saved_model.pb"
        saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        change(saved.meta_graphs[0])
        path.write_bytes(saved.SerializeToString())

    return changed


def _operation(kind: str) -> Change:
    """An operation in a function that nothing calls yet."""

    def change(graph: Any) -> None:
        function = graph.graph_def.library.function.add()
        function.signature.name = "__inner"
        function.node_def.add(name="harmless", op=kind)

    return _graph(change)


def _writes(folder: Path, marker: Path) -> None:
    """A model that writes a file when it predicts."""
    import tensorflow as tf

    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])  # type: ignore[untyped-decorator]
    def serve(x: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(str(marker), "x")]):
            return {"score": tf.identity(x)}

    module.serve = serve
    shutil.rmtree(folder / layout.MODEL)
    tf.saved_model.save(module, str(folder / layout.MODEL), signatures=serve)


def _asset(graph: Any) -> None:
    graph.asset_file_def.add(filename="../../../../etc/passwd")


def _no_graph(folder: Path, _: Path) -> None:
    (folder / layout.MODEL / "saved_model.pb").write_bytes(b"\xff" * 100)


def _artifact(name: str, content: bytes | Callable[[Path], bytes]) -> Change:
    def change(folder: Path, marker: Path) -> None:
        data = content if isinstance(content, bytes) else content(marker)
        (folder / name).write_bytes(data)

    return change


def _binning(change: Callable[[list[dict[str, Any]]], object]) -> Change:
    def changed(folder: Path, _: Path) -> None:
        path = folder / names.BINNING_ARTIFACT
        content = json.loads(path.read_text())
        change(content["columns"])
        path.write_text(json.dumps(content))

    return changed


def _add_number(columns: list[Any]) -> None:
    columns.append(1)


def _repeated(name: str, rows: int) -> Callable[[Path], bytes]:
    """A few KB of Parquet that stand for any number of rows."""

    def packed(_: Path) -> bytes:
        sink = io.BytesIO()
        pq.write_table(pa.table({name: pa.repeat(0, rows)}), sink, compression="zstd")
        return sink.getvalue()

    return packed


def _packed_texts(_: Path) -> bytes:
    """One long text in all rows, stored once."""
    texts = pa.DictionaryArray.from_arrays(pa.repeat(0, 5_000).cast("int32"), ["x" * 1_000_000])
    sink = io.BytesIO()
    pq.write_table(pa.table({"c": texts}), sink, compression="zstd", store_schema=False)
    return sink.getvalue()


def _rewritten(
    change: Callable[[dict[str, Any]], object] | None = None, **members: bytes
) -> Change:
    """A Keras archive with another config or other members."""

    def changed(folder: Path, _: Path) -> None:
        path = folder / layout.KERAS
        rewritten = keras_models.rewrite(path, change, members)
        rewritten.replace(path)

    return changed


def _part(**part: Any) -> Change:
    """A part of a layer of the model."""
    return _rewritten(lambda config: _first(config).update(hidden=[{"config": {}, **part}]))


def _first(config: dict[str, Any]) -> dict[str, Any]:
    layer: dict[str, Any] = config["config"]["layers"][0]["config"]
    return layer


def _nested_model(config: dict[str, Any]) -> None:
    """A whole model in the model, with a loss of its own: only the outer one's is dropped."""
    loss = {"module": "builtins", "class_name": "function", "config": "os.system"}
    inner = {"module": "keras", "class_name": "Sequential", "config": {"layers": []}}
    config["config"]["layers"].append({**inner, "compile_config": {"loss": loss}})


def _lambda(folder: Path, marker: Path) -> None:
    import keras

    text = str(marker)
    x = keras.Input((1,), name="x")
    layer = keras.layers.Lambda(lambda x: (open(text, "w"), x)[1], output_shape=(1,))  # noqa: SIM115
    marker.unlink(missing_ok=True)
    keras.Model(x, layer(x)).save(folder / layout.KERAS)
    marker.unlink(missing_ok=True)


def _member(name: str, content: bytes = b"x", mode: int = 0) -> Change:
    def change(folder: Path, _: Path) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        with zipfile.ZipFile(folder / layout.KERAS, "a") as archive:
            archive.writestr(info, content)

    return change


def _config(content: str) -> Change:
    """A config that is not made by `json`: too deep, or no mapping."""

    def change(folder: Path, _: Path) -> None:
        with zipfile.ZipFile(folder / layout.KERAS, "w") as archive:
            archive.writestr("config.json", content)

    return change


def _zip_bomb(folder: Path, __: Path) -> None:
    """A GiB of zeros in a MB, as an asset that Keras would unpack onto the disk."""
    with (
        zipfile.ZipFile(folder / layout.KERAS, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("assets/zeros", "w") as zeros,
    ):
        for _ in range(1024):
            zeros.write(bytes(1024 * 1024))


def _says_small(folder: Path, _: Path) -> None:
    """A member whose size in the archive's list is not that of its content."""
    path = folder / layout.KERAS
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({"x": " " * 1_000_000}))
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 10)  # uncompressed size
    path.write_bytes(content)


def _many_members(folder: Path, _: Path) -> None:
    with zipfile.ZipFile(folder / layout.KERAS, "a") as archive:
        for number in range(10_001):
            archive.writestr(f"assets/{number}", b"")


def _weights(change: Callable[[h5py.Group], object]) -> Change:
    """Weights of the first layer that has some, changed by `change`."""

    def changed(folder: Path, _: Path) -> None:
        with zipfile.ZipFile(folder / layout.KERAS) as archive:
            content = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(content, "r+") as file:
            layers = file["layers"]
            change(next(layers[name]["vars"] for name in layers if len(layers[name]["vars"])))
        _rewritten(None, **{"model.weights.h5": content.getvalue()})(folder, Path())

    return changed


def _external_link(variables: h5py.Group) -> None:
    del variables["0"]
    variables["0"] = h5py.ExternalLink("/etc/passwd", "/")


def _soft_link(variables: h5py.Group) -> None:
    del variables["0"]
    variables["0"] = h5py.SoftLink("/layers")


def _external_data(variables: h5py.Group) -> None:
    shape, kind = variables["0"].shape, variables["0"].dtype
    del variables["0"]
    size = int(np.prod(shape)) * kind.itemsize
    variables.create_dataset("0", shape, kind, external=[("/etc/passwd", 0, size)])


def _legacy(folder: Path, _: Path) -> None:
    """Keras' old format, which holds a config that safe mode knows little of."""
    with h5py.File(folder / layout.KERAS, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Lambda"})


_FUNCTION = {"class_name": "function", "registered_name": "function"}
_BINNING, _REFERENCE = names.BINNING_ARTIFACT, names.REFERENCE_ARTIFACT
_SAMPLE, _BLOCKS = names.REFERENCE_SAMPLE_ARTIFACT, names.REFERENCE_BLOCKS_ARTIFACT


def _own(change: Change, message: str) -> Hostile:
    return Hostile(change, message, registered=False)


def _keras(change: Change, message: str) -> Hostile:
    return Hostile(change, message, keras=True)


VERSIONS: dict[str, Hostile] = {
    "pyfunc": Hostile(_pyfunc, r"loader is 'mlflow\.pyfunc\.model': only"),
    "sklearn": Hostile(_sklearn, "also has the flavor 'sklearn'"),
    "pickle": Hostile(_pickle, "'CUSTOM_OBJECTS.PKL' is a pickle"),
    "code": Hostile(_code, "contains its own Python code"),
    "model-code": Hostile(_model_code, "contains its own Python code"),
    "yaml-object": Hostile(_yaml_object, "can't read .*MLmodel.*a tag, key or binary value"),
    "yaml-bomb": Hostile(_text(_merge_bomb()), r"can't read .*MLmodel.*with aliases expanded"),
    "yaml-deep": Hostile(_text("[" * 5_000), r"can't read .*MLmodel.*nested deeper"),
    "yaml-huge": Hostile(_text("#" * 5_000_000), "larger than 4 MiB"),
    "yaml-list": Hostile(_text("flavors: [1]"), "has no flavors"),
    "yaml-text": Hostile(_text("x"), "does not describe a model"),
    "signature": _own(_signature, "can't read the signature"),
    "two-models": _own(_two_models, "contains a SavedModel and a Keras model"),
    "writes": Hostile(_writes, "has the operation WriteFile"),
    "reads": Hostile(_operation("ReadFile"), "has the operation ReadFile"),
    "calls-python": Hostile(_operation("EagerPyFunc"), "has the operation EagerPyFunc"),
    "asset": Hostile(_graph(_asset), r"an asset '\.\./.*passwd', outside its folder"),
    "no-graph": Hostile(_no_graph, "can't load the SavedModel"),
    "binning-deep": _own(_artifact(_BINNING, b"[" * 100_000), "can't read the binning"),
    "binning-bytes": _own(_artifact(_BINNING, b"\xff\xfe"), "can't use the binning"),
    "binning-pickle": _own(_artifact(_BINNING, _pickled), "can't use the binning"),
    "binning-list": _own(_artifact(_BINNING, b"[1]"), "can't read the binning"),
    "binning-texts": _own(_binning(lambda c: c[0].update(edges=["a", "b"])), "invalid bins"),
    "binning-nan": _own(_binning(lambda c: c[0].update(edges=[0, float("nan")])), "invalid bins"),
    "binning-twice": _own(_binning(lambda c: c.append(c[0])), "two columns have the same name"),
    "binning-number": _own(_binning(_add_number), "can't read the binning"),
    "binning-others": _own(_binning(list[Any].clear), "has cells that|no column 'score'"),
    "binning-huge": _own(_artifact(_BINNING, bytes(65 << 20)), "larger than 64 MiB"),
    "reference-pickle": _own(_artifact(_REFERENCE, _pickled), "can't read a packed profile"),
    "reference-short": _own(_artifact(_REFERENCE, b"\x01\x00\xff\xff\xff\xff"), "is truncated"),
    "sample-pickle": _own(_artifact(_SAMPLE, _pickled), "can't read a reference sample"),
    "sample-bomb": _own(_artifact(_SAMPLE, _repeated("x", 3_000_000)), "would become 3000000 rows"),
    "sample-texts": _own(_artifact(_SAMPLE, _packed_texts), "would become 5000000000 bytes"),
    "blocks-pickle": _own(_artifact(_BLOCKS, _pickled), "can't read the blocks"),
    "blocks-bomb": _own(
        _artifact(_BLOCKS, _repeated("cells", 3_000_000)), "would become 3000000 rows"
    ),
    "blocks-other": _own(_artifact(_BLOCKS, _repeated("x", 2)), "can't read the blocks"),
    "lambda": _keras(_lambda, "which contains its own code"),
    "function": _keras(_part(**_FUNCTION, module="os", config="system"), r"'os\.system'"),
    "eval": _keras(_part(**_FUNCTION, module="builtins", config="x.y"), "invalid name 'x.y'"),
    "dotted": _keras(_part(module="keras", class_name="utils.get_file"), "name 'utils.get_file'"),
    "saving": _keras(_part(module="keras.saving", class_name="load_model"), "outside Keras"),
    "registered": _keras(
        _part(module=None, class_name="Mine", registered_name="mine>Mine"), "needs 'mine>Mine'"
    ),
    "list-name": _keras(_part(module="keras.layers", class_name=["Dense"]), r"name \['Dense'\]"),
    "nested": _keras(_rewritten(_nested_model), "invalid name 'os.system'"),
    "vocabulary": _keras(_part(vocabulary="/etc/passwd"), "from the file '/etc/passwd'"),
    "climbs": _keras(_member("../outside"), "points outside the archive"),
    "absolute": _keras(_member("/etc/cron.d/x"), "points outside the archive"),
    "link": _keras(
        _member("assets/x", b"/etc/passwd", stat.S_IFLNK | 0o777), "points outside the archive"
    ),
    "member-pickle": _keras(_member("assets/x.npy"), "may be a pickle"),
    "twice": _keras(_member("config.json"), "has duplicate members"),
    "zip-bomb": _keras(_zip_bomb, "would expand to .* bytes"),
    "says-small": _keras(_says_small, "is not a Keras model|does not describe a model"),
    "members": _keras(_many_members, "10004 members"),
    "config-deep": _keras(_config('{"a":' * 5_000), "is not a Keras model"),
    "config-list": _keras(_config("[1]"), "does not describe a model"),
    "external-link": _keras(_weights(_external_link), "ExternalLink"),
    "soft-link": _keras(_weights(_soft_link), "SoftLink"),
    "external-data": _keras(_weights(_external_data), "external"),
    "legacy": _keras(_legacy, "is not a Keras model"),
}
