"""Where a SavedModel's lookup tables take their files from: its assets, and nothing else."""

from collections import defaultdict
from functools import cached_property
from typing import Any

from driftline.errors import RegistryError
from driftline.registry.safety.saved_model_calls import by_name, calls, can_be_swapped_in, node_of

_TABLES = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})
_FILE = 1  # the input that names it
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


def refuse_other_files(graph: Any, functions: dict[str, Any], by_objects: bool) -> None:
    """Refuse a table that is filled from a file that is not certainly an asset.

    Parameters:
        graph: a MetaGraphDef.
        functions: of its library, by name.
        by_objects: whether TensorFlow calls its functions by the graph of objects.

    Raises:
        RegistryError: there is one.
    """
    files = _Files(graph, functions, by_objects)
    for caller, nodes in files.bodies():
        for node in nodes:
            if node.op in _TABLES and not files.is_asset(caller, _input(node, _FILE), set()):
                raise RegistryError(
                    "the SavedModel fills a table from a file that its graph names, outside its "
                    "folder: give the file as an asset, or the values themselves"
                )


class _Files:
    """What the tensors of a graph's functions can be; the function "" is the main graph."""

    def __init__(self, graph: Any, functions: dict[str, Any], by_objects: bool) -> None:
        self._graph = graph
        self._functions = functions
        self._by_objects = by_objects

    @cached_property
    def _callers(self) -> dict[str, list[tuple[str, Any]]]:
        """By function, the nodes that call it, with the functions that they are in."""
        found: dict[str, list[tuple[str, Any]]] = defaultdict(list)
        for caller, nodes in self.bodies():
            if caller or not self._by_objects:
                for node in nodes:
                    for name in calls(node) & self._functions.keys():
                        found[name].append((caller, node))
        return found

    def bodies(self) -> list[tuple[str, Any]]:
        """The nodes of each function, with its name."""
        inner = [(name, function.node_def) for name, function in self._functions.items()]
        return [("", self._graph.graph_def.node), *inner]

    def is_asset(self, function: str, tensor: str, seen: set[tuple[str, int]]) -> bool:
        """Whether a tensor is an asset's name, whoever calls the function."""
        if not function:
            return self._is_fed_asset(tensor)
        at = _argument(self._functions[function], tensor)
        if at is None or can_be_swapped_in(self._functions[function]):
            return False
        if (function, at) in seen:
            return True  # it calls itself
        seen.add((function, at))
        return self._captures_asset(function, at) and all(
            self.is_asset(caller, _passed(node, function, at), seen)
            for caller, node in self._callers[function]
        )

    def _is_fed_asset(self, tensor: str) -> bool:
        """In the main graph: the placeholder of an asset, which no signature feeds."""
        signatures = self._graph.signature_def.values()
        fed = {node_of(one.name) for signature in signatures for one in signature.inputs.values()}
        assets = {node_of(asset.tensor_info.name) for asset in self._graph.asset_file_def}
        nodes = by_name((node.name, node) for node in self._graph.graph_def.node)
        node = nodes.get(node_of(tensor))
        return node is not None and node.op == "Placeholder" and node.name in assets - fed

    def _captures_asset(self, function: str, at: int) -> bool:
        """Of a function that an object has: whether the argument is an asset bound to it."""
        objects = self._graph.object_graph_def
        if not self._by_objects or function not in objects.concrete_functions:
            return True
        bound = objects.concrete_functions[function].bound_inputs
        first = len(self._functions[function].signature.input_arg) - len(bound)
        if not 0 <= at - first < len(bound):
            return False  # who calls the model gives it
        which = bound[at - first]
        if not 0 <= which < len(objects.nodes):
            return False
        node = objects.nodes[which]
        return node.WhichOneof("kind") == "asset" and not node.registered_name


def _argument(function: Any, tensor: str) -> int | None:
    """Which argument of a function a tensor is, if it is one."""
    arguments = function.signature.input_arg
    if ":" in tensor or any(one.number_attr or one.type_list_attr for one in arguments):
        return None
    names = [one.name for one in arguments]
    return names.index(tensor) if tensor in names else None


def _passed(node: Any, function: str, at: int) -> str:
    """What a node that calls a function gives it; nothing where that is not sure."""
    plain = node.op in _CALLS and node.attr["f"].func.name == function
    return _input(node, at) if plain or node.op == function else ""


def _input(node: Any, at: int) -> str:
    inputs = [one for one in node.input if not one.startswith("^")]
    return inputs[at] if at < len(inputs) else ""
