"""The documentation matches the code: commands, links, config keys, paths, layers, terms."""

import ast
import re
import shlex
import tomllib
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
ARCHITECTURE = ROOT / "docs" / "architecture.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
GLOSSARY = ROOT / "docs" / "glossary.md"
#: Folders to which the paths of a page are relative.
BASES = [ROOT, ROOT / "platform", ROOT / "platform" / "driftline", ROOT / "docs"]
#: Terms whose first use on a page links to the glossary; others are clear or too frequent.
TERMS = [
    "binning",
    "burn-in",
    "canary",
    "challenger",
    "champion",
    "hysteresis",
    "incident",
    "ledger",
    "preflight check",
    "profile",
    "quarantine",
    "segment",
    "shadow",
    "verdict",
    "watermark",
    "window",
]

# A fenced block: its language, and its lines.
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(driftline [^`]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"`([\w./-]*(?:/[\w./-]*|\.(?:py|java|js|md|toml|xml)))`")
# A user's transform, and artifacts of a version in MLflow.
_OF_OTHERS = re.compile(r"payments\.py|driftline/(reference|binning|reference_sample)\.\w+")
_ROW = re.compile(r"^\| `(\w+)` \|(.*?)\|", re.MULTILINE)


class Excerpt(NamedTuple):
    """A part of a page."""

    page: Path
    text: str

    def __str__(self) -> str:
        first = self.text.strip().splitlines()[0][:60]
        return f"{self.page.name}: {first}"


def blocks(*languages: str) -> list[Excerpt]:
    """The fenced blocks of some languages."""
    return [
        Excerpt(page, match[3])
        for page in PAGES
        for match in _BLOCK.finditer(page.read_text())
        if match[2] in languages
    ]


def shown_commands() -> list[Excerpt]:
    """The lines of shell blocks that call driftline."""
    lines = [
        Excerpt(block.page, line.strip().removeprefix("$ "))
        for block in blocks("sh", "console", "bash")
        for line in block.text.splitlines()
    ]
    return [line for line in lines if line.text.startswith("driftline")]


def mentioned_commands() -> list[Excerpt]:
    """Commands in running text, which may leave arguments out."""
    return [
        Excerpt(page, command)
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
        arguments = [*context._protected_args, *context.args]
        name, command, words = command.resolve_command(context, arguments)


@pytest.mark.parametrize("command", shown_commands(), ids=str)
def test_shown_commands_exist(command: Excerpt) -> None:
    parse(command.text)


@pytest.mark.parametrize("command", mentioned_commands(), ids=str)
def test_mentioned_commands_exist(command: Excerpt) -> None:
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
    return [leaf for name, child in inner.items() for leaf in _paths(child, f"{path} {name}")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    broken = []
    for target in _LINK.findall(_BLOCK.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = page if not path else (page.parent / path)
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(target)
    assert broken == []


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles(block: Excerpt) -> None:
    compile(block.text, block.page.name, "exec")


def test_the_log_settings_of_a_cluster_are_those_of_the_package() -> None:
    (block,) = blocks("properties")
    shipped = Path(flink.__path__[0]) / "cluster-log4j.properties"
    assert block.text == shipped.read_text()
    local = (Path(jvm.__path__[0]) / "job-log4j.properties").read_text()
    assert set(block.text.splitlines()) <= set(local.splitlines())


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_loads(block: Excerpt, tmp_path: Path) -> None:
    content = yaml.safe_load(block.text)
    if not set(content) <= set(Config.model_fields):
        assert "apiVersion" in content or block.text.startswith("# config.yaml")  # other programs
        return
    path = tmp_path / "driftline.yaml"
    path.write_text(block.text)
    load(path)


def sections(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section of the config with its path, as in the headings of config.md."""
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
        # each role has its own default user, which their shared section does not have
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
    """The codes with which the streaming code rejects messages."""
    codes = set()
    for path in (ROOT / "platform" / "driftline" / "streaming").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            codes |= _codes(node)
    return codes


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


def tree() -> list[str]:
    """The paths of the tree of architecture.md; deeper lines are inside the last shallower one."""
    all_blocks = (match[3] for match in _BLOCK.finditer(ARCHITECTURE.read_text()))
    block = next(block for block in all_blocks if "cli/" in block)
    paths, parents = [], {-1: ""}
    for indent, name in re.findall(r"^( *)(\S+)", block, re.MULTILINE):
        depth = len(indent)
        parents = {level: path for level, path in parents.items() if level < depth}
        parents[depth] = parents[max(parents)] + name
        paths.append(parents[depth])
    return paths


def test_the_tree_exists() -> None:
    paths = tree()
    assert "platform/driftline/streaming/flink/" in paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_tree_has_every_folder_of_the_package() -> None:
    package = ROOT / "platform" / "driftline"
    folders = [path for path in package.iterdir() if (path / "__init__.py").exists()]
    assert {f"platform/driftline/{path.name}/" for path in folders} <= set(tree())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    """All paths of two pages; on the other pages those of Python files."""
    text = _BLOCK.sub("", page.read_text())
    paths = [path for path in _PATH.findall(text) if path.strip("/")]
    if page not in (ARCHITECTURE, CONTRIBUTING):
        paths = [path for path in paths if path.endswith(".py") and "/" in path]
    if page.name == "CHANGELOG.md":
        paths = []  # its entries name the files of their time
    paths = [path for path in paths if not _OF_OTHERS.fullmatch(path)]
    assert [path for path in paths if not any((base / path).exists() for base in BASES)] == []


def test_the_layers_of_contributing_are_those_of_the_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (floors,) = [part["layers"] for part in contracts if part.get("containers") == ["driftline"]]
    blocks = [match for match in _BLOCK.finditer(CONTRIBUTING.read_text()) if match[2] != "sh"]
    assert [block[3].splitlines() for block in blocks] == [floors]


def prose(page: Path) -> str:
    """A page's paragraphs and lists, without headings, tables, code and links to other places."""
    text = _BLOCK.sub("", page.read_text())
    text = re.sub(r"^(#.*|\|.*|    \S.*)$", "", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]*`", "", text)
    return re.sub(r"!?\[[^\]]*\]\((?!glossary\.md)[^)]*\)", "", text)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent == ROOT / "docs" and page != GLOSSARY], ids=str
)
def test_the_first_use_of_a_term_links_to_the_glossary(page: Path, term: str) -> None:
    forms = f"{term[:-1]}(?:y|ies)" if term.endswith("y") else f"{term}(?:e?s)?"
    link = r"(\]\(glossary\.md#[\w-]+\))?"
    first = re.search(rf"(?<![\w-])\[?{forms}(?![\w-]){link}", prose(page), re.IGNORECASE)
    assert first is None or first[1] == f"](glossary.md#{term.replace(' ', '-')})"


def test_the_glossary_is_alphabetical_and_has_the_terms() -> None:
    headings = re.findall(r"^## (.+)$", GLOSSARY.read_text(), re.MULTILINE)
    assert headings == sorted(headings, key=str.lower)
    assert set(TERMS) <= {heading.lower() for heading in headings}


def test_the_index_links_to_every_page() -> None:
    text = (ROOT / "README.md").read_text()
    targets = {target.partition("#")[0] for target in _LINK.findall(text)}
    names = {str(path.relative_to(ROOT)) for path in PAGES} - {"README.md"}
    assert names <= targets
