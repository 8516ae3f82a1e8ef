"""SavedModels that reach outside their own folder are refused before TensorFlow loads them."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from driftline.errors import RegistryError
from driftline.registry.loaders.saved_model import load
from driftline.registry.safety.saved_model_graph import refuse_unsafe

keras: Any = None
tf: Any = None
variable_pb2: Any = None
saved_model_pb2: Any = None

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", autouse=True)
def heavy() -> None:
    """Imported here and not when tests are found, which each worker does."""
    globals().update(
        keras=import_module("keras"),
        tf=import_module("tensorflow"),
        variable_pb2=import_module("tensorflow.core.framework.variable_pb2"),
        saved_model_pb2=import_module("tensorflow.core.protobuf.saved_model_pb2"),
    )


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
    total = numbers.reduce(tf.constant(0, tf.int64), lambda sofar, number: sofar + number)
    return {"score": x + tf.cast(total, tf.float32)}


def dumps(x: Any) -> dict[str, Any]:
    urls = {"debug_urls": ["file:///tmp/driftline-test"], "tensor_name": "x"}
    return {"score": tf.raw_ops.DebugIdentity(input=x, **urls)}


def takes_a_graph_from_a_text(x: Any) -> dict[str, Any]:
    variant = tf.raw_ops.DatasetFromGraph(graph_def=b"any graph at all")
    total = tf.raw_ops.DatasetCardinality(input_dataset=variant)
    return {"score": x + tf.cast(total, tf.float32)}


def takes_an_iterator_from_a_text(x: Any) -> dict[str, Any]:
    specs = {"output_types": [tf.float32], "output_shapes": [[]]}
    iterator = tf.raw_ops.AnonymousIteratorV3(**specs)
    state = tf.io.parse_tensor(b"a serialized one", tf.variant)
    return after(x, tf.raw_ops.DeserializeIterator(resource_handle=iterator, serialized=state))


def reads_records(x: Any) -> dict[str, Any]:
    records = tf.raw_ops.RecordInput(file_pattern="/etc/host*", batch_size=1)
    return {"score": x + tf.cast(tf.strings.length(records[0]), tf.float32)}


def sample(x: Any, **vocabulary: Any) -> dict[str, Any]:
    numbers = {"num_true": 1, "num_sampled": 1, "unique": False, "range_max": 2, "seed": 1}
    zeros = tf.zeros([1, 1], tf.int64)
    sampled = tf.raw_ops.FixedUnigramCandidateSampler(true_classes=zeros, **numbers, **vocabulary)
    return {"score": x + 0.0 * tf.cast(sampled[0][0], tf.float32)}


def samples_from_a_file(x: Any) -> dict[str, Any]:
    return sample(x, vocab_file="/etc/hostname")


def decode(x: Any, source: str) -> dict[str, Any]:
    message = {"message_type": "tensorflow.TensorShapeProto", "field_names": ["unknown_rank"]}
    decoded = tf.raw_ops.DecodeProtoV2(
        bytes=[b""], output_types=[tf.bool], descriptor_source=source, **message
    )
    return {"score": x + 0.0 * tf.cast(decoded.values[0][0, 0], tf.float32)}


def decodes_by_a_file(x: Any) -> dict[str, Any]:
    return decode(x, "/etc/hostname")


def saves_a_dataset(x: Any) -> dict[str, Any]:
    variant = tf.data.Dataset.range(3)._variant_tensor
    names = {"directory": "/tmp/driftline-test", "address": "localhost:1", "metadata": ""}
    return after(x, tf.raw_ops.DistributedSave(dataset=variant, **names))


def restores_a_slice(x: Any) -> dict[str, Any]:
    names = {"file_pattern": "/etc/hostname", "tensor_name": "x", "shape_and_slice": ""}
    return {"score": x + tf.raw_ops.RestoreSlice(dt=tf.float32, **names)}


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
        (takes_a_graph_from_a_text, "DatasetFromGraph"),
        (takes_an_iterator_from_a_text, "DeserializeIterator"),
        (reads_records, "RecordInput"),
        (samples_from_a_file, "FixedUnigramCandidateSampler"),
        (decodes_by_a_file, "DecodeProtoV2"),
        (saves_a_dataset, "DistributedSave"),
        (restores_a_slice, "RestoreSlice"),
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


def changed(folder: Path, change: Callable[[Any], None]) -> Path:
    """The SavedModel with another MetaGraphDef."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    change(saved.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "MlirPassthroughOp",
        "CalibrationStatisticsSaver",
        "Skipgram",
        "XlaHostCompute",
        "_XlaRecvAtHostV2",
        "XlaSendToHost",
        "ConnectTPUEmbeddingHosts",
        "_InitializeHostForDistributedTPU",
        "SymbolicGradient",
        "EncodeProto",
        "ImportEvent",
    ],
)
def test_operations_that_python_cannot_make_here(tmp_path: Path, name: str) -> None:
    def change(graph: Any) -> None:
        node = graph.graph_def.library.function[0].node_def.add(name="odd", op=name)
        node.attr["descriptor_source"].s = b"/etc/hostname"  # of EncodeProto

    folder = changed(save(tmp_path / "model", lambda x: {"score": x}), change)
    with pytest.raises(RegistryError, match=f"has the operation {name} "):
        refuse_unsafe(folder)


@pytest.mark.parametrize(
    "serve",
    [
        lambda x: sample(x, unigrams=[0.5, 0.5]),
        lambda x: decode(x, "local://"),
        lambda x: decode(x, ""),
    ],
)
def test_operations_that_could_name_a_file_and_do_not(tmp_path: Path, serve: Any) -> None:
    load(save(tmp_path / "model", serve))


def with_a_resource(path: Path) -> Any:
    """A harmless model with a resource, which TensorFlow initializes when it loads the model."""
    from tensorflow.python.trackable.resource import TrackableResource

    class Writing(TrackableResource):  # type: ignore[misc]  # tensorflow ships no types
        """Its initialization saves a tensor anywhere."""

        def _create_resource(self) -> Any:
            return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

        def _initialize(self) -> None:
            names = {"tensor_names": ["x"], "shape_and_slices": [""]}
            tf.raw_ops.SaveV2(prefix=str(path), tensors=[tf.constant(1.0)], **names)

    module = tf.Module()
    module.factor, module.resource = tf.Variable(1.0), Writing()
    module.serve = tf.function(
        lambda x: {"score": module.factor * x},
        input_signature=[tf.TensorSpec([None], tf.float32, "x")],
    )
    return module


def test_what_runs_when_the_model_is_loaded_is_checked_too(tmp_path: Path) -> None:
    module, folder = with_a_resource(tmp_path / "written"), tmp_path / "model"
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    for written in tmp_path.glob("written*"):  # by the resource of this process
        written.unlink()
    changed(folder, lambda graph: graph.signature_def.pop("__saved_model_init_op"))  # objects stay
    with pytest.raises(RegistryError, match="has the operation SaveV2"):
        load(folder)
    assert not list(tmp_path.glob("written*"))


def test_a_function_that_no_signature_calls(tmp_path: Path) -> None:
    def change(graph: Any) -> None:
        del graph.signature_def["serving_default"]

    folder = changed(save(tmp_path / "model", saves), change)
    with pytest.raises(RegistryError, match="has the operation SaveV2"):
        refuse_unsafe(folder)


def test_the_savers_functions_are_the_savers_alone(tmp_path: Path) -> None:
    def change(graph: Any) -> None:
        (name,) = (
            function.signature.name
            for function in graph.graph_def.library.function
            if "traced_save" in function.signature.name
        )
        for function in graph.graph_def.library.function:
            if "signature_wrapper" in function.signature.name:
                node = function.node_def.add(name="odd", op="PartitionedCall")
                node.attr["f"].func.name = "any"
                node.attr["f"].func.attr["g"].func.name = name  # handed on

    folder = save(tmp_path / "model", lambda x: {"score": x})
    refuse_unsafe(folder)
    with pytest.raises(RegistryError, match=r"has the operation (SaveV2|MergeV2Checkpoints)"):
        refuse_unsafe(changed(folder, change))


def test_a_saver_that_could_be_swapped_in_for_another_function(tmp_path: Path) -> None:
    def change(graph: Any) -> None:
        for function in graph.graph_def.library.function:
            function.attr["api_implements"].s = b"the same"

    folder = changed(save(tmp_path / "model", lambda x: {"score": x}), change)
    with pytest.raises(RegistryError, match=r"has the operation (SaveV2|RestoreV2|MergeV2Check)"):
        refuse_unsafe(folder)


def save_v1(folder: Path, main_op: Callable[[], Any] = lambda: None) -> Path:
    """A SavedModel of TensorFlow 1, without objects; it has a further saver, as many do."""
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        score = v1.get_variable("w", initializer=2.0, use_resource=True) * x
        v1.train.Saver()
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        signature = v1.saved_model.predict_signature_def({"x": x}, {"score": score})
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, main_op=main_op()
        )
        builder.save()
    return folder


def saving_operation() -> Any:
    names = {"tensor_names": ["x"], "shape_and_slices": [""]}
    return tf.raw_ops.SaveV2(
        prefix="/tmp/driftline-test", tensors=[tf.constant(1.0)], name="odd", **names
    )


def test_a_model_of_tensorflow_1(tmp_path: Path) -> None:
    load(save_v1(tmp_path / "good"))
    with pytest.raises(RegistryError, match=r"has the operation SaveV2 \('odd'\)"):
        load(save_v1(tmp_path / "init", saving_operation))


@pytest.mark.parametrize("place", ["legacy_init_op", "table_initializer", "variable", "restore"])
def test_what_a_model_of_tensorflow_1_runs_when_it_is_loaded(tmp_path: Path, place: str) -> None:
    def change(graph: Any) -> None:
        graph.collection_def["saved_model_main_op"].Clear()
        graph.signature_def.pop("__saved_model_init_op", None)
        if place == "variable":
            variable = variable_pb2.VariableDef(variable_name="w:0", initializer_name="odd")
            graph.collection_def["local_variables"].bytes_list.value.append(
                variable.SerializeToString()
            )
        elif place == "restore":
            name = graph.saver_def.restore_op_name
            (node,) = (node for node in graph.graph_def.node if node.name == name)
            node.input.append("^odd")
        else:
            graph.collection_def[place].node_list.value.append("odd")

    folder = changed(save_v1(tmp_path / "model", saving_operation), change)
    with pytest.raises(RegistryError, match=r"has the operation SaveV2 \('odd'\)"):
        load(folder)


def test_no_node_hides_another_of_its_name(tmp_path: Path) -> None:
    def twice(graph: Any) -> None:
        nodes = graph.graph_def.library.function[0].node_def
        for op in ("WriteFile", "NoOp"):
            nodes.add(name="one", op=op)

    folder = changed(save(tmp_path / "model", lambda x: {"score": x}), twice)
    with pytest.raises(RegistryError, match="has the operation WriteFile"):
        refuse_unsafe(folder)


def test_no_function_hides_another_of_its_name(tmp_path: Path) -> None:
    def twice(graph: Any) -> None:
        library = graph.graph_def.library
        library.function.add().CopyFrom(library.function[0])

    folder = changed(save(tmp_path / "model", lambda x: {"score": x}), twice)
    with pytest.raises(RegistryError, match="two nodes or functions of the name '__inference"):
        refuse_unsafe(folder)


def test_a_function_that_is_called_as_if_it_were_an_operation(tmp_path: Path) -> None:
    called = []

    def change(graph: Any) -> None:
        functions = graph.graph_def.library.function
        for node in [*graph.graph_def.node, *(n for f in functions for n in f.node_def)]:
            if node.op.endswith("PartitionedCall"):
                node.op = node.attr["f"].func.name
                del node.attr["f"]
                called.append(node.op)

    folder = changed(save(tmp_path / "model", saves), change)
    assert called
    with pytest.raises(RegistryError, match="has the operation SaveV2"):
        refuse_unsafe(folder)


def test_printing_and_datasets_in_memory_are_no_files(tmp_path: Path) -> None:
    def serve(x: Any) -> dict[str, Any]:
        rows = tf.data.Dataset.from_tensor_slices(x).map(lambda value: value * 2)
        return after(rows.reduce(0.0, lambda sofar, value: sofar + value) + x, tf.print("scored"))

    load(save(tmp_path / "model", serve))


def fill(x: Any, filename: Any) -> dict[str, Any]:
    table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
    places = {"key_index": -2, "value_index": -1}  # the line, its number
    return after(
        x,
        tf.raw_ops.InitializeTableFromTextFileV2(table_handle=table, filename=filename, **places),
    )


def fills_within(x: Any, filename: Any) -> dict[str, Any]:
    scored: dict[str, Any] = tf.function(fill)(x, filename)
    return scored


@cache
def captured() -> Any:
    """A constant from outside the graph that asks for it."""
    with tf.init_scope():
        return tf.constant("/etc/hostname")


@pytest.mark.parametrize(
    "serve",
    [
        lambda x: fill(x, "/etc/hostname"),
        lambda x: fill(x, tf.identity("/etc/hostname")),
        lambda x: fill(x, tf.strings.join(["/etc/", "hostname"])),
        lambda x: fill(x, captured()),
        lambda x: fills_within(x, tf.constant("/etc/hostname")),
        lambda x: fills_within(x, captured()),
        lambda x: {
            "score": tf.cond(tf.reduce_all(x > 0), lambda: fill(x, captured())["score"], lambda: x)
        },
    ],
    ids=["constant", "identity", "join", "captured", "argument", "passed-on", "branch"],
)
def test_a_table_from_a_file_that_the_graph_names_is_refused(tmp_path: Path, serve: Any) -> None:
    with pytest.raises(RegistryError, match="initializes a table from a file outside its folder"):
        load(save(tmp_path / "model", serve))


def test_a_table_from_a_file_that_an_event_names_is_refused(tmp_path: Path) -> None:
    module = tf.Module()
    specs = [tf.TensorSpec([None], tf.float32, "x"), tf.TensorSpec([], tf.string, "file")]
    module.serve = tf.function(fill, input_signature=specs)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.serve)
    with pytest.raises(RegistryError, match="initializes a table from a file outside its folder"):
        load(tmp_path / "model")


def save_vocabulary(tmp_path: Path) -> Path:
    """A model of a text, with its vocabulary in a file."""
    (tmp_path / "words").write_text("a\nb\n")
    lines, numbers = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    path = str(tmp_path / "words")
    words = tf.lookup.TextFileInitializer(path, tf.string, lines, tf.int64, numbers)
    module, folder = tf.Module(), tmp_path / "model"
    module.table = tf.lookup.StaticHashTable(words, -1)

    def serve(c: Any) -> dict[str, Any]:
        return {"score": tf.cast(module.table.lookup(c), tf.float32)}

    module.serve = tf.function(serve, input_signature=[tf.TensorSpec([None], tf.string, "c")])
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def test_an_asset_is_part_of_the_model_unless_its_name_leads_outside(tmp_path: Path) -> None:
    folder = save_vocabulary(tmp_path)
    load(folder)

    def change(graph: Any) -> None:
        graph.asset_file_def[0].filename = "../../../etc/hostname"

    with pytest.raises(RegistryError, match=r"an asset '../../../etc/hostname', outside"):
        load(changed(folder, change))


@pytest.mark.parametrize("kind", ["constant", "named-constant", "unknown"])
def test_what_only_looks_like_an_asset(tmp_path: Path, kind: str) -> None:
    def change(graph: Any) -> None:
        (asset,) = (node for node in graph.object_graph_def.nodes if node.HasField("asset"))
        if kind == "constant":
            asset.constant.operation = "Const"
        elif kind == "named-constant":
            asset.registered_name = "tf.TrackableConstant"
        else:
            for function in graph.object_graph_def.concrete_functions.values():
                function.bound_inputs[:] = [10**6 for _ in function.bound_inputs]

    folder = changed(save_vocabulary(tmp_path), change)
    with pytest.raises(RegistryError, match="initializes a table from a file outside its folder"):
        load(folder)


def test_models_that_are_saved_in_other_ways(tmp_path: Path) -> None:
    again = tf.saved_model.load(str(save_vocabulary(tmp_path)))
    tf.saved_model.save(again, str(tmp_path / "again"), signatures=again.signatures)
    load(tmp_path / "again")
    text = keras.Input((1,), name="c", dtype="string")
    index = keras.layers.StringLookup(vocabulary=str(tmp_path / "words"))(text)
    score = keras.layers.Dense(1, name="score")(keras.ops.cast(index, "float32"))
    model = keras.Model({"c": text}, {"score": score})
    model.compile("adam", loss="mse")
    model.export(str(tmp_path / "exported"), format="tf_saved_model", verbose=False)
    load(tmp_path / "exported")
    tf.saved_model.save(model, str(tmp_path / "saved"))
    refuse_unsafe(tmp_path / "saved")


def test_what_is_no_saved_model(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(RegistryError, match="can't load the SavedModel in"):
        load(tmp_path)
