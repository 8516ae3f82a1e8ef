"""SavedModels that reach outside their own folder are refused before TensorFlow loads them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from driftline.errors import RegistryError
from registry.loaders.saved_model import load
from registry.saved_model_graph import refuse_unsafe


def save(folder: Path, serve: Callable[[Any], dict[str, Any]]) -> Path:
    module = tf.Module()
    specs = [tf.TensorSpec([None], tf.float32, "x")]
    module.serve = tf.function(serve, input_signature=specs)
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def after(x: Any, operation: Any) -> dict[str, Any]:
    with tf.control_dependencies([operation]):
        return {"score": tf.identity(x)}


def reads(x: Any) -> dict[str, Any]:
    length = tf.strings.length(tf.io.read_file("/etc/hostname"))
    return {"score": x + tf.cast(length, tf.float32)}


def reads_sometimes(x: Any) -> dict[str, Any]:
    return {"score": tf.cond(tf.reduce_all(x > 0), lambda: reads(x)["score"], lambda: x)}


def writes(x: Any) -> dict[str, Any]:
    return after(x, tf.io.write_file("/tmp/driftline-test", "x"))


def saves(x: Any) -> dict[str, Any]:
    names = {"tensor_names": ["x"], "shape_and_slices": [""]}
    return after(x, tf.raw_ops.SaveV2(prefix="/tmp/driftline-test", tensors=[x], **names))


def calls_python(x: Any) -> dict[str, Any]:
    return {"score": tf.ensure_shape(tf.numpy_function(lambda x: x, [x], tf.float32), [None])}


def prints(x: Any) -> dict[str, Any]:
    return after(x, tf.print(x, output_stream="file:///tmp/driftline-test"))


def reads_memory_of_a_file(x: Any) -> dict[str, Any]:
    name = "/etc/hostname"
    constant = tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[1], memory_region_name=name)
    return {"score": x + constant}


def loads_records(x: Any) -> dict[str, Any]:
    lines = tf.data.TextLineDataset(["/etc/hostname"]).map(tf.strings.length)
    total = lines.reduce(0, lambda sofar, length: sofar + length)
    return {"score": x + tf.cast(total, tf.float32)}


def caches(x: Any) -> dict[str, Any]:
    numbers = tf.data.Dataset.range(3).cache("/tmp/driftline-test")
    total = numbers.reduce(tf.constant(0, tf.int64), lambda sofar, one: sofar + one)
    return {"score": x + tf.cast(total, tf.float32)}


def dumps(x: Any) -> dict[str, Any]:
    urls = {"debug_urls": ["file:///tmp/driftline-test"], "tensor_name": "x"}
    return {"score": tf.raw_ops.DebugIdentity(input=x, **urls)}


def ends_the_process(x: Any) -> dict[str, Any]:
    return after(x, tf.raw_ops.Abort())


@pytest.mark.parametrize(
    ("serve", "operation"),
    [
        (prints, "PrintV2"),
        (reads_memory_of_a_file, "ImmutableConst"),
        (loads_records, "TextLineDataset"),
        (caches, "CacheDataset"),
        (dumps, "DebugIdentity"),
        (ends_the_process, "Abort"),
        (reads, "ReadFile"),
        (reads_sometimes, "ReadFile"),
        (writes, "WriteFile"),
        (saves, "SaveV2"),
        (calls_python, "PyFunc"),
    ],
)
def test_operations_that_are_refused(
    tmp_path: Path, serve: Callable[[Any], dict[str, Any]], operation: str
) -> None:
    folder = save(tmp_path / "model", serve)
    with pytest.raises(RegistryError, match=f"has the operation {operation}.*outside its folder"):
        load(folder)


def within(functions: int, serve: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same, called by a function of a function, and so on."""

    def nested(x: Any) -> Any:
        return tf.function(serve)(x)

    return nested if functions == 1 else within(functions - 1, nested)


def test_no_operation_hides_within_functions(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", within(30, saves))
    with pytest.raises(RegistryError, match="has the operation SaveV2"):
        refuse_unsafe(folder)


def test_a_function_that_is_called_as_if_it_were_an_operation(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", saves)
    graph = saved_model_pb2.SavedModel()
    graph.ParseFromString((folder / "saved_model.pb").read_bytes())
    definition = graph.meta_graphs[0].graph_def
    called = 0
    for node in [*definition.node, *(n for f in definition.library.function for n in f.node_def)]:
        if node.op.endswith("PartitionedCall"):
            node.op = node.attr["f"].func.name
            del node.attr["f"]
            called += 1
    assert called
    (folder / "saved_model.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(RegistryError, match="has the operation SaveV2"):
        refuse_unsafe(folder)


def test_printing_and_datasets_in_memory_are_no_files(tmp_path: Path) -> None:
    def serve(x: Any) -> dict[str, Any]:
        rows = tf.data.Dataset.from_tensor_slices(x).map(lambda one: one * 2)
        return after(rows.reduce(0.0, lambda sofar, one: sofar + one) + x, tf.print("scored"))

    load(save(tmp_path / "model", serve))


def test_a_table_from_a_file_that_the_graph_names_is_refused(tmp_path: Path) -> None:
    def serve(x: Any) -> dict[str, Any]:
        table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        places = {"key_index": -2, "value_index": -1}  # the line, its number
        filled = tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=table, filename="/etc/hostname", **places
        )
        return after(x, filled)

    with pytest.raises(RegistryError, match="fills a table from a file that its graph names"):
        load(save(tmp_path / "model", serve))


class Vocabulary(tf.Module):  # type: ignore[misc]  # tensorflow ships no types
    """A model of a text, with its vocabulary in a file."""

    def __init__(self, path: Path) -> None:
        lines, numbers = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        words = tf.lookup.TextFileInitializer(str(path), tf.string, lines, tf.int64, numbers)
        self.table = tf.lookup.StaticHashTable(words, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "c")])  # type: ignore[untyped-decorator]
    def serve(self, c: Any) -> dict[str, Any]:
        return {"score": tf.cast(self.table.lookup(c), tf.float32)}


def test_an_asset_is_part_of_the_model_unless_its_name_leads_outside(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("a\nb\n")
    module, folder = Vocabulary(tmp_path / "words"), tmp_path / "model"
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    load(folder)
    graph = saved_model_pb2.SavedModel()
    graph.ParseFromString((folder / "saved_model.pb").read_bytes())
    graph.meta_graphs[0].asset_file_def[0].filename = "../../../etc/hostname"
    (folder / "saved_model.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(RegistryError, match=r"an asset '../../../etc/hostname', outside"):
        load(folder)


def test_what_is_no_saved_model(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(RegistryError, match="can't load the SavedModel in"):
        load(tmp_path)
