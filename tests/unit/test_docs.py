"""The documentation says what the code does: commands, links, config keys, reason codes."""

import ast
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import typer.main
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from driftline.cli.app import app
from driftline.config import Config, EventField, Model, load
from driftline.config.monitors import WindowLength
from driftline.config.types import Secret, parse_duration
from driftline.streaming import flink, jvm

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
RELIABILITY = ROOT / "docs" / "reliability.md"
CONFIG = ROOT / "docs" / "config.md"

# A fenced block: its language, and its lines.
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(driftline [^`]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ROW = re.compile(r"^\| `(\w+)` \|(.*?)\|", re.MULTILINE)


class Found(NamedTuple):
    """A piece of a page."""

    page: Path
    text: str

    def __str__(self) -> str:
        first = self.text.strip().splitlines()[0][:60]
        return f"{self.page.name}: {first}"


def blocks(*languages: str) -> list[Found]:
    """The fenced blocks of some languages."""
    return [
        Found(page, match[3])
        for page in PAGES
        for match in _BLOCK.finditer(page.read_text())
        if match[2] in languages
    ]


def shown_commands() -> list[Found]:
    """The lines of shell blocks that call driftline."""
    lines = [
        Found(block.page, line.strip().removeprefix("$ "))
        for block in blocks("sh", "console", "bash")
        for line in block.text.splitlines()
    ]
    return [line for line in lines if line.text.startswith("driftline")]


def mentioned_commands() -> list[Found]:
    """Commands in running text, which may leave arguments out."""
    return [
        Found(page, command)
        for page in PAGES
        for command in _INLINE.findall(_BLOCK.sub("", page.read_text()))
    ]


def parse(line: str) -> None:
    """Parse a command line as the real app would, without running it."""
    words = shlex.split(line.partition(" > ")[0], comments=True)
    name, command, context = words.pop(0), typer.main.get_command(app), None
    while True:
        context = command.make_context(name, words, parent=context)
        if not hasattr(command, "resolve_command"):
            return
        rest = [*context._protected_args, *context.args]
        found, command, words = command.resolve_command(context, rest)
        name = str(found)


@pytest.mark.parametrize("command", shown_commands(), ids=str)
def test_shown_commands_exist(command: Found) -> None:
    parse(command.text)


@pytest.mark.parametrize("command", mentioned_commands(), ids=str)
def test_mentioned_commands_exist(command: Found) -> None:
    try:
        parse(command.text)
    except Exception as error:
        if type(error).__name__ not in ("MissingParameter", "Exit"):  # Exit: --help
            raise


@pytest.mark.parametrize("line", ["driftline frobnicate", "driftline audit m --loud"])
def test_other_commands_are_refused(line: str) -> None:
    with pytest.raises(Exception, match=r"No such (command|option)"):
        parse(line)


def test_every_command_is_documented() -> None:
    text = "".join(page.read_text() for page in PAGES)
    unknown = [
        path for path in _paths(typer.main.get_command(app), "driftline") if path not in text
    ]
    assert unknown == []


def _paths(command: Any, path: str) -> list[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [path]
    return [found for name, one in inner.items() for found in _paths(one, f"{path} {name}")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    broken = []
    for target in _LINK.findall(_BLOCK.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = page if not path else (page.parent / path)
        if not there.exists() or (anchor and anchor not in _anchors(there)):
            broken.append(target)
    assert broken == []


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles(block: Found) -> None:
    compile(block.text, block.page.name, "exec")


def test_the_log_settings_of_a_cluster_are_those_of_the_package() -> None:
    (block,) = blocks("properties")
    shipped = Path(flink.__path__[0]) / "cluster-log4j.properties"
    assert block.text == shipped.read_text()
    local = (Path(jvm.__path__[0]) / "job-log4j.properties").read_text()
    assert set(block.text.splitlines()) <= set(local.splitlines())


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_loads(block: Found, tmp_path: Path) -> None:
    content = yaml.safe_load(block.text)
    if not set(content) <= set(Config.model_fields):
        assert "apiVersion" in content or block.text.startswith("# config.yaml")  # of others
        return
    path = tmp_path / "driftline.yaml"
    path.write_text(block.text)
    load(path)


def sections(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section of the config with its path, as config.md's headings name it."""
    yield path or "Top level", model
    for name, field in model.model_fields.items():
        below = f"{path}.{name}".lstrip(".")
        for inner in _models(field.annotation):
            if inner is Secret:
                continue
            extra = {Model: ".NAME", EventField: ".FIELD"}.get(inner, "")
            yield from sections(inner, below + extra)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def documented() -> dict[str, dict[str, str]]:
    """Section -> key -> default, from config.md's tables."""
    parts = re.split(r"^## ", CONFIG.read_text(), flags=re.MULTILINE)[1:]
    tables = {part.splitlines()[0].strip("`"): dict(_ROW.findall(part)) for part in parts}
    return {section: keys for section, keys in tables.items() if keys}


def test_every_section_is_documented() -> None:
    assert {name for name, _ in sections(Config)} <= set(documented())


@pytest.mark.parametrize(("name", "section"), list(sections(Config)), ids=str)
def test_every_key_is_documented(name: str, section: type[BaseModel]) -> None:
    keys = documented()[name]
    assert set(keys) == set(section.model_fields)
    wrong = {
        key: shown
        for key, shown in keys.items()
        if not _is_default(shown.strip(" `"), section.model_fields[key], name)
    }
    assert wrong == {}


def _is_default(shown: str, field: FieldInfo, section: str) -> bool:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        # each role has a user of its own, though the section they share has none
        return shown == "required" or shown == f"driftline_{section.rpartition('.')[2]}"
    if isinstance(default, BaseModel) or default is None or default in ((), {}):
        return shown == ("" if isinstance(default, BaseModel) else "none")
    if isinstance(default, tuple):
        return all(map(_is_item, shown.split(", "), default))
    if isinstance(default, bool):
        return shown == str(default).lower()
    if isinstance(default, timedelta):
        return parse_duration(shown) == default
    return shown == str(default)


def _is_item(shown: str, item: object) -> bool:
    if isinstance(item, WindowLength):
        return parse_duration(shown) == item.length
    return shown == item


def reason_codes() -> set[str]:
    """The codes that the streaming code rejects messages with."""
    found = set()
    for path in (ROOT / "platform" / "driftline" / "streaming").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found |= _codes(node)
    return found


def _codes(node: ast.AST) -> set[str]:
    parts: list[ast.expr] = []
    if isinstance(node, ast.Call):
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        parts = node.args if name in ("add", "add_where", "reject", "Reason") else []
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        parts = node.value.elts[:1]
    texts = [part.value for part in parts if isinstance(part, ast.Constant)]
    return {text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z]\w+", text)}


def test_every_reason_is_documented() -> None:
    table = RELIABILITY.read_text().partition("\n| reason |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == reason_codes()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_path_of_a_machine(page: Path) -> None:
    assert not re.search(r"/(root|work|home)/", page.read_text())


def test_the_network_policy_admits_the_flink_operator() -> None:
    (block,) = [block for block in blocks("yaml") if "kind: NetworkPolicy" in block.text]
    operator = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "flink-operator"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "flink-kubernetes-operator"}},
    }
    rules = yaml.safe_load(block.text)["spec"]["ingress"]
    assert {"from": [operator], "ports": [{"port": 8081}]} in rules
