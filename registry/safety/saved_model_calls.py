"""Which functions of a SavedModel's library its nodes name, and what runs when."""

from collections.abc import Iterable
from typing import Any

from driftline.errors import RegistryError


def calls(node: Any) -> set[str]:
    """Names that may be of functions: a function can be called as if it were an operation."""
    found, todo = {node.op}, list(node.attr.values())
    while todo:
        attribute = todo.pop()
        for function in (attribute.func, *attribute.list.func):
            found.add(function.name)
            todo += function.attr.values()  # a function handed to a function
    return found


def reached(nodes: Iterable[Any], functions: dict[str, Any]) -> tuple[list[Any], set[str]]:
    """Nodes with those of all functions that they call, and the functions' names."""
    todo, found = list(nodes), list[Any]()
    names: set[str] = set()
    while todo:
        node = todo.pop()
        found.append(node)
        for name in (calls(node) & functions.keys()) - names:
            names.add(name)
            todo += functions[name].node_def
    return found, names


def feeding(outputs: Iterable[str], nodes: dict[str, Any]) -> list[Any]:
    """The nodes that outputs depend on."""
    todo, found = list(outputs), dict[str, Any]()
    while todo:
        name = node_of(todo.pop())
        if name in nodes and name not in found:
            found[name] = nodes[name]
            todo += nodes[name].input
    return list(found.values())


def node_of(tensor: str) -> str:
    """The name of the node that a tensor, or a control input, is of."""
    return tensor.removeprefix("^").split(":")[0]


def by_name(named: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Nodes or functions by name.

    Raises:
        RegistryError: two have one name, so that one could hide the other.
    """
    found: dict[str, Any] = {}
    for name, one in named:
        if name in found:
            raise RegistryError(f"the SavedModel has two nodes or functions of the name {name!r}")
        found[name] = one
    return found


def is_by_objects(saved: Any) -> bool:
    """Whether TensorFlow calls functions by the graph of objects, never the main graph."""
    return len(saved.meta_graphs) == 1 and saved.meta_graphs[0].HasField("object_graph_def")


def can_be_swapped_in(function: Any) -> bool:
    """Whether TensorFlow may call it in place of another that says it does the same."""
    return "api_implements" in function.attr
