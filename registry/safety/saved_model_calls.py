"""The call graph of a SavedModel: which functions its nodes call, and which nodes run."""

from collections.abc import Iterable
from typing import Any

from driftline.errors import RegistryError


def callees(node: Any) -> set[str]:
    """Names that may be functions: a function can also be called like an operation."""
    names, todo = {node.op}, list(node.attr.values())
    while todo:
        attribute = todo.pop()
        for function in (attribute.func, *attribute.list.func):
            names.add(function.name)
            todo += function.attr.values()  # a function passed to a function
    return names


def reachable(nodes: Iterable[Any], functions: dict[str, Any]) -> tuple[list[Any], set[str]]:
    """The nodes with those of all functions that they call, and the functions' names."""
    todo, visited = list(nodes), list[Any]()
    names: set[str] = set()
    while todo:
        node = todo.pop()
        visited.append(node)
        for name in (callees(node) & functions.keys()) - names:
            names.add(name)
            todo += functions[name].node_def
    return visited, names


def dependencies(outputs: Iterable[str], nodes: dict[str, Any]) -> list[Any]:
    """The nodes that outputs depend on."""
    todo, visited = list(outputs), dict[str, Any]()
    while todo:
        name = node_name(todo.pop())
        if name in nodes and name not in visited:
            visited[name] = nodes[name]
            todo += nodes[name].input
    return list(visited.values())


def node_name(tensor: str) -> str:
    """The name of the node of a tensor or a control input."""
    return tensor.removeprefix("^").split(":")[0]


def by_name(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Nodes or functions by name.

    Raises:
        RegistryError: two have the same name, so that one could hide the other.
    """
    index: dict[str, Any] = {}
    for name, item in pairs:
        if name in index:
            raise RegistryError(f"the SavedModel has two nodes or functions of the name {name!r}")
        index[name] = item
    return index


def uses_object_graph(saved: Any) -> bool:
    """Whether TensorFlow calls functions through the object graph, never through the main graph."""
    return len(saved.meta_graphs) == 1 and saved.meta_graphs[0].HasField("object_graph_def")


def is_substitute(function: Any) -> bool:
    """Whether TensorFlow may call it in place of another function that declares the same API."""
    return "api_implements" in function.attr
