"""What a SavedModel's graph may hold: the check before TensorFlow loads it.

A graph brings no Python code, but operations that read, write or find files, and names of files.
A version's graph reads what is inside its own folder, and nothing else.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from driftline.errors import RegistryError

#: Operations that no served model needs, of TensorFlow 2.20's 1,909: they reach files, Python or
#: another machine, or end the process. A list of what is known, not a sandbox.
_REFUSED = re.compile(
    r"(Read|Write)File|MatchingFiles|ImmutableConst|FileSystemSetConfiguration|DumpTensor"
    r"|GenerateVocabRemapping|LoadAndRemapMatrix|CheckpointHasKey"
    r"|.*(TextLine|TFRecord|FixedLengthRecord|WholeFile|LMDB)(Reader|Dataset)(V\d)?"
    r"|.*(CSV|Sql|MatchingFiles|Load|Save|Cache|DataService|Register)Dataset(V\d)?"
    r"|.*Snapshot.*|.*DatasetToTFRecord|Debug.*"
    r"|(CreateSummary|CloseSummary|FlushSummary)\w+|SummaryWriter|Write\w*Summary"
    r"|.*PyFunc(Stateless)?|RemoteCall|Rpc\w+|_?(Host)?(Send|Recv)|Collective\w+"
    r"|Abort|WorkerHeartbeat"
)
#: Those that every SavedModel has, to be saved again; none is called where it predicts.
_SAVING = frozenset({"Save", "SaveV2", "SaveSlices", "Restore", "RestoreV2", "MergeV2Checkpoints"})
_TABLES = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})


def refuse_unsafe(folder: Path) -> None:
    """Refuse a SavedModel that reaches outside its own folder.

    Raises:
        RegistryError: naming the operation or the file; or it is no SavedModel.
    """
    for graph in _meta_graphs(folder):
        for asset in graph.asset_file_def:
            name = PurePosixPath(asset.filename)
            if name.is_absolute() or ".." in name.parts:
                raise RegistryError(
                    f"the SavedModel has an asset {asset.filename!r}, outside its folder"
                )
        functions = {one.signature.name: one.node_def for one in graph.graph_def.library.function}
        for nodes in (graph.graph_def.node, *functions.values()):
            _check_nodes(nodes)
        for node in _predicting(graph, functions):
            if node.op in _SAVING:
                raise _refusal(node)


def _meta_graphs(folder: Path) -> Any:
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - heavy
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: PLC0415 - heavy

    found = saved_model_pb2.SavedModel()
    try:
        found.ParseFromString((folder / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise RegistryError(f"can't load the SavedModel in {str(folder)!r}: {error}") from error
    return found.meta_graphs


def _check_nodes(nodes: Iterable[Any]) -> None:
    by_name = {node.name: node for node in nodes}
    for node in by_name.values():
        if _REFUSED.fullmatch(node.op) or _prints_to_a_file(node):
            raise _refusal(node)
        if node.op in _TABLES and len(node.input) > 1:
            source = by_name.get(node.input[1].split(":")[0])
            if source is not None and source.op == "Const":
                raise RegistryError(
                    "the SavedModel fills a table from a file that its graph names, outside its "
                    "folder: give the file as an asset, or the values themselves"
                )


def _prints_to_a_file(node: Any) -> bool:
    stream: bytes = node.attr["output_stream"].s
    return node.op == "PrintV2" and stream.startswith(b"file:")


def _predicting(graph: Any, functions: dict[str, Any]) -> Iterator[Any]:
    """The nodes that run when a signature is called."""
    outputs = [out.name for one in graph.signature_def.values() for out in one.outputs.values()]
    todo = _feeding(outputs, {node.name: node for node in graph.graph_def.node})
    called: set[str] = set()
    while todo:
        node = todo.pop()
        yield node
        for name in _calls(node) - called:
            called.add(name)
            todo += functions.get(name, ())


def _feeding(outputs: list[str], nodes: dict[str, Any]) -> list[Any]:
    """The nodes that outputs depend on."""
    todo, found = list(outputs), {}
    while todo:
        name = _node(todo.pop())
        if name in nodes and name not in found:
            found[name] = nodes[name]
            todo += nodes[name].input
    return list(found.values())


def _calls(node: Any) -> set[str]:
    """Names that may be of functions: a function can be called as if it were an operation."""
    attributes = node.attr.values()
    return {node.op} | {f.name for one in attributes for f in (one.func, *one.list.func)}


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").split(":")[0]


def _refusal(node: Any) -> RegistryError:
    return RegistryError(
        f"the SavedModel has the operation {node.op} ({node.name!r}), which reaches outside its "
        "folder: export the model without it"
    )
