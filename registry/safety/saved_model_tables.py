"""The files of a SavedModel's lookup tables: only its own assets are allowed."""

from collections import defaultdict
from functools import cached_property
from typing import Any

from driftline.errors import RegistryError
from driftline.registry.safety.saved_model_calls import by_name, callees, is_substitute, node_name

_TABLES = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})
_FILE_INPUT = 1  # position of the file name in the inputs
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


def refuse_other_files(graph: Any, functions: dict[str, Any], by_objects: bool) -> None:
    """Refuse a table that is initialized from a file that is not certainly an asset.

    Parameters:
        graph: a MetaGraphDef.
        functions: of its library, by name.
        by_objects: whether TensorFlow calls its functions through the object graph.

    Raises:
        RegistryError: there is one.
    """
    sources = _FileSources(graph, functions, by_objects)
    for caller, nodes in sources.bodies():
        for node in nodes:
            file = _input(node, _FILE_INPUT)
            if node.op in _TABLES and not sources.is_asset(caller, file, set()):
                raise RegistryError(
                    "the SavedModel initializes a table from a file outside its folder: add the "
                    "file as an asset, or store the values in the graph"
                )


class _FileSources:
    """Finds the sources of file names in a graph's functions; the function "" is the main graph."""

    def __init__(self, graph: Any, functions: dict[str, Any], by_objects: bool) -> None:
        self._graph = graph
        self._functions = functions
        self._object_based = by_objects

    @cached_property
    def _callers(self) -> dict[str, list[tuple[str, Any]]]:
        """For each function, the nodes that call it, with the functions that contain them."""
        callers: dict[str, list[tuple[str, Any]]] = defaultdict(list)
        for caller, nodes in self.bodies():
            if caller or not self._object_based:
                for node in nodes:
                    for name in callees(node) & self._functions.keys():
                        callers[name].append((caller, node))
        return callers

    def bodies(self) -> list[tuple[str, Any]]:
        """The nodes of each function, with its name."""
        functions = [(name, function.node_def) for name, function in self._functions.items()]
        return [("", self._graph.graph_def.node), *functions]

    def is_asset(self, function: str, tensor: str, visited: set[tuple[str, int]]) -> bool:
        """Whether a tensor is an asset's file name, for every caller of the function."""
        if not function:
            return self._is_asset_placeholder(tensor)
        index = _argument_index(self._functions[function], tensor)
        if index is None or is_substitute(self._functions[function]):
            return False
        if (function, index) in visited:
            return True  # a recursive call
        visited.add((function, index))
        return self._captures_asset(function, index) and all(
            self.is_asset(caller, _argument(node, function, index), visited)
            for caller, node in self._callers[function]
        )

    def _is_asset_placeholder(self, tensor: str) -> bool:
        """In the main graph: the placeholder of an asset that is not an input of a signature."""
        signatures = self._graph.signature_def.values()
        inputs = {node_name(info.name) for sig in signatures for info in sig.inputs.values()}
        assets = {node_name(asset.tensor_info.name) for asset in self._graph.asset_file_def}
        nodes = by_name((node.name, node) for node in self._graph.graph_def.node)
        node = nodes.get(node_name(tensor))
        return node is not None and node.op == "Placeholder" and node.name in assets - inputs

    def _captures_asset(self, function: str, index: int) -> bool:
        """For a function of an object: whether the argument is an asset that is bound to it."""
        objects = self._graph.object_graph_def
        if not self._object_based or function not in objects.concrete_functions:
            return True
        bound = objects.concrete_functions[function].bound_inputs
        first = len(self._functions[function].signature.input_arg) - len(bound)
        if not 0 <= index - first < len(bound):
            return False  # the caller of the model passes it
        object_id = bound[index - first]
        if not 0 <= object_id < len(objects.nodes):
            return False
        node = objects.nodes[object_id]
        return node.WhichOneof("kind") == "asset" and not node.registered_name


def _argument_index(function: Any, tensor: str) -> int | None:
    """The position of a tensor in a function's arguments; None if it is not an argument."""
    arguments = function.signature.input_arg
    if ":" in tensor or any(arg.number_attr or arg.type_list_attr for arg in arguments):
        return None
    names = [argument.name for argument in arguments]
    return names.index(tensor) if tensor in names else None


def _argument(node: Any, function: str, index: int) -> str:
    """The tensor that a calling node passes to a function; empty if that is not certain."""
    is_plain_call = node.op in _CALLS and node.attr["f"].func.name == function
    return _input(node, index) if is_plain_call or node.op == function else ""


def _input(node: Any, index: int) -> str:
    inputs = [name for name in node.input if not name.startswith("^")]
    return inputs[index] if index < len(inputs) else ""
