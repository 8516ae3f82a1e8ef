"""The safety check of a SavedModel's graph, before TensorFlow loads it.

A graph contains no Python code, but operations that read, write or find files, and file names.
A version's graph may only read files inside its own folder.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from driftline.errors import RegistryError
from driftline.registry.safety.saved_model_calls import (
    by_name,
    dependencies,
    is_substitute,
    node_name,
    reachable,
    uses_object_graph,
)
from driftline.registry.safety.saved_model_tables import refuse_other_files

#: Operations that no served model needs, of TensorFlow 2.20's 1,909: they access files, Python or
#: another machine, hide a graph from this check, or end the process. This is a list of known
#: operations, not a sandbox. XlaCallModule (of JAX) is allowed: it can only call functions that
#: XLA has registered, and functions that are checked here.
_REFUSED = re.compile(
    r"(Read|Write)File|MatchingFiles|ImmutableConst|FileSystemSetConfiguration|DumpTensor"
    r"|GenerateVocabRemapping|LoadAndRemapMatrix|CheckpointHasKey"
    r"|RecordInput|Skipgram|CalibrationStatisticsSaver"
    r"|.*(TextLine|TFRecord|FixedLengthRecord|WholeFile|LMDB)(Reader|Dataset)(V\d)?"
    r"|.*(CSV|Sql|MatchingFiles|Load|Save|Cache|DataService|Register)Dataset(V\d)?"
    r"|.*Snapshot.*|.*DatasetToTFRecord|DistributedSave|Debug.*|Copy(Host)?"
    r"|(CreateSummary|CloseSummary|FlushSummary)\w+|SummaryWriter|Write\w*Summary|ImportEvent"
    r"|.*PyFunc(Stateless)?|RemoteCall|Rpc\w+|_?(Host)?(Send|Recv)|Collective\w+"
    r"|_?Xla(Send|Recv|Host)\w*|ConnectTPUEmbeddingHosts|\w*(Distributed|Global)TPU\w*"
    r"|DatasetFromGraph|DeserializeIterator|MlirPassthroughOp|_TPUCompileMlir|SymbolicGradient"
    r"|Abort|WorkerHeartbeat"
)
#: Operations that access files only if an attribute does not match the pattern.
_BY_ATTRIBUTE = {
    "PrintV2": ("output_stream", re.compile(rb"(?!file:).*", re.DOTALL)),
    "FixedUnigramCandidateSampler": ("vocab_file", re.compile(rb"")),
    "DecodeProtoV2": ("descriptor_source", re.compile(rb"(local://)?|bytes://.*", re.DOTALL)),
    "EncodeProto": ("descriptor_source", re.compile(rb"(local://)?|bytes://.*", re.DOTALL)),
}
_RESTORING = frozenset({"Restore", "RestoreV2", "RestoreSlice", "DTensorRestoreV2"})
#: Operations that every SavedModel has, to be saved again; prediction never calls them.
_SAVING = _RESTORING | {"Save", "SaveV2", "SaveSlices", "MergeV2Checkpoints"}


def refuse_unsafe(folder: Path) -> None:
    """Refuse a SavedModel that accesses anything outside its own folder.

    Raises:
        RegistryError: with the operation or the file; or it is not a SavedModel.
    """
    saved = _saved_model(folder)
    by_objects = uses_object_graph(saved)
    for graph in saved.meta_graphs:
        _check_assets(graph)
        library = graph.graph_def.library.function
        for nodes in (graph.graph_def.node, *(function.node_def for function in library)):
            _check_nodes(nodes)
        functions = by_name((function.signature.name, function) for function in library)
        for node in _executable_nodes(graph, functions, by_objects):
            if node.op in _SAVING:
                raise _refusal(node)
        refuse_other_files(graph, functions, by_objects)


def _saved_model(folder: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise RegistryError(f"can't load the SavedModel in {str(folder)!r}: {error}") from error
    return saved


def _check_assets(graph: Any) -> None:
    for asset in graph.asset_file_def:
        name = PurePosixPath(asset.filename)
        if name.is_absolute() or ".." in name.parts:
            raise RegistryError(
                f"the SavedModel has an asset {asset.filename!r}, outside its folder"
            )


def _check_nodes(nodes: Iterable[Any]) -> None:
    for node in nodes:
        if _REFUSED.fullmatch(node.op) or _names_a_file(node):
            raise _refusal(node)


def _names_a_file(node: Any) -> bool:
    if node.op not in _BY_ATTRIBUTE:
        return False
    name, harmless = _BY_ATTRIBUTE[node.op]
    return harmless.fullmatch(node.attr[name].s) is None


def _executable_nodes(graph: Any, functions: dict[str, Any], by_objects: bool) -> Iterator[Any]:
    """The nodes that may run when the model is loaded or called: all but the saver's own."""
    nodes = by_name((node.name, node) for node in graph.graph_def.node)
    saver = graph.saver_def
    unused = [saver.save_tensor_name, *([saver.restore_op_name] if by_objects else [])]
    _, savers = reachable(dependencies(unused, nodes), functions)
    used = [*_entry_points(graph), *([] if by_objects else [saver.restore_op_name])]
    todo = [node for node in dependencies(used, nodes) if not _restores(node, saver)]
    for name, function in functions.items():
        if (
            name not in savers
            or name in graph.object_graph_def.concrete_functions
            or is_substitute(function)
        ):
            todo += function.node_def
    yield from reachable(todo, functions)[0]


def _entry_points(graph: Any) -> Iterator[str]:
    """What may run in the main graph: the signatures, and to be safe, all that collections name."""
    for signature in graph.signature_def.values():
        yield from (output.name for output in signature.outputs.values())
    for key, collection in graph.collection_def.items():
        yield from collection.node_list.value
        if key != "savers":  # in all other collections only variables name operations
            for value in collection.bytes_list.value:
                yield from _initializers(value)


def _initializers(serialized: bytes) -> Iterator[str]:
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import variable_pb2

    with suppress(DecodeError):  # another kind of message
        variable = variable_pb2.VariableDef.FromString(serialized)
        yield from (variable.initializer_name, variable.initial_value_name, variable.snapshot_name)


def _restores(node: Any, saver: Any) -> bool:
    """Whether it reads the variables from the file that TensorFlow passes at each load."""
    file = node_name(saver.filename_tensor_name)
    return node.op in _RESTORING and bool(node.input) and node_name(node.input[0]) == file


def _refusal(node: Any) -> RegistryError:
    return RegistryError(
        f"the SavedModel has the operation {node.op} ({node.name!r}), which can access anything "
        "outside its folder: export the model without it"
    )
