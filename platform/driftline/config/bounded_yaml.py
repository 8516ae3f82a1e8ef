"""YAML that cannot exhaust memory, time or the stack: sizes, nesting and aliases have limits."""

import re
from typing import Any

import yaml

from driftline.config.masking import HIDDEN

LARGEST = 5_000_000  # characters of a document
DEEPEST = 50  # nested mappings and lists
MOST = 500_000  # values, with aliases expanded
LONGEST = 1_000  # characters of a number or date: PyYAML parses 1:1:1... in quadratic time
_COMPUTED = frozenset(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp"))


class YamlError(ValueError):
    """What is wrong, without the text itself, which may hold a secret.

    Attributes:
        line: the line of the problem, from 1.
    """

    def __init__(self, problem: str, line: int = 1) -> None:
        super().__init__(problem)
        self.line = line


def parse(text: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of a document, with their places, and its plain data.

    Raises:
        YamlError: it is not YAML, has tags beyond plain data, or exceeds a limit.

    >>> parse("a: [1, 2]")[1]
    {'a': [1, 2]}
    """
    if len(text) > LARGEST:
        raise YamlError(f"longer than {LARGEST:,} characters")
    loader = None
    try:
        loader = _Loader(text)
        tree = loader.get_single_node()
        if tree is None:
            return None, None
        _measure(tree, {}, set())
        return tree, loader.construct_document(tree)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 1 if mark is None else mark.line + 1
        raise YamlError(f"not YAML: {_problem(error)}", line) from None
    finally:
        if loader is not None:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """A loader that limits the recursion of PyYAML's parser."""

    def __init__(self, text: str) -> None:
        self._depth = 0
        super().__init__(text)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """See PyYAML."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise YamlError(f"nested deeper than {DEEPEST} levels", self.line + 1)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """See PyYAML."""
        try:
            if node.tag in _COMPUTED and len(node.value) > LONGEST:
                raise ValueError
            return super().construct_object(node, deep)
        except YamlError:
            raise
        except (ValueError, ArithmeticError, AttributeError, LookupError):  # the date 2026-13-01
            problem = "a value looks like a date or number but is not one: quote it"
            raise YamlError(problem, node.start_mark.line + 1) from None


def _measure(
    node: yaml.Node, measured: dict[int, tuple[int, int]], within: set[int]
) -> tuple[int, int]:
    """Number of values and depth of a node with its aliases expanded; raises beyond the limits."""
    if id(node) in measured:
        return measured[id(node)]
    line = node.start_mark.line + 1
    if id(node) in within:
        raise YamlError("an alias refers to a value that contains it", line)
    within.add(id(node))
    size, depth = 1, 1
    for child in _children(node):
        inner, below = _measure(child, measured, within)
        size, depth = size + inner, max(depth, below + 1)
    within.discard(id(node))
    if size > MOST:
        raise YamlError(f"more than {MOST:,} values, with aliases expanded", line)
    if depth > DEEPEST:
        raise YamlError(f"nested deeper than {DEEPEST} levels, with aliases expanded", line)
    measured[id(node)] = size, depth
    return size, depth


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _problem(error: yaml.YAMLError) -> str:
    """PyYAML's message without its quotes of the text: names of aliases, tags and escapes."""
    if isinstance(error, yaml.constructor.ConstructorError):
        return "a tag, key or binary value that is not plain data"
    problem = str(getattr(error, "problem", None) or "unreadable")
    return re.sub(r"'([^']*)'", _without_text, problem)


def _without_text(quoted: re.Match[str]) -> str:
    """A character of the syntax, or PyYAML's own name of one, is kept."""
    harmless = len(quoted[1]) <= 2 or quoted[1].startswith("<")
    return quoted[0] if harmless else f"'{HIDDEN}'"
