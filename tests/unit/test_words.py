"""All that people read is free of the phrases of tests/words.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from driftline.cli.app import app
from tests.words import PHRASES, Phrase, Text, findings, texts

ROOT = Path(__file__).parents[2]
PLACES = ["platform", "monitors", "registry", "dashboards"]
PLACES += ["docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "tests/data/dashboards"]


@pytest.mark.parametrize("place", PLACES)
def test_no_phrase_of_the_list(place: str) -> None:
    lines = [line for text in texts(ROOT / place) for line in findings(text)]
    assert not lines, "\n" + "\n".join(lines)


def test_no_phrase_of_the_list_in_help_texts() -> None:
    lines = [
        line for text in _help(typer.main.get_command(app), "driftline") for line in findings(text)
    ]
    assert not lines, "\n" + "\n".join(lines)


def _help(command: Any, path: str) -> Iterator[Text]:
    yield Text(path, command.help or "")
    for parameter in command.params:
        yield Text(f"{path} {parameter.name}", getattr(parameter, "help", None) or "")
    for name, inner in getattr(command, "commands", {}).items():
        yield from _help(inner, f"{path} {name}")


def test_every_text_of_a_module_is_read(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        '"""The law\n\nof rows."""\n\nNAME = "law"  # the\nVALUE = 1  # the database\n'
        '           # is away\ndef f(a):\n    return f"{a} says {a!r:>{3}}" "so long"\n'
    )
    found = [
        line.partition(": ")[0].rpartition(":")[2] for t in texts(path) for line in findings(t)
    ]
    assert sorted(found) == ["1", "7", "9", "9"]


def test_a_folder_is_read_without_its_links(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "page.md").write_text("It is away.\n\n`away` is code.\n\n- told\n")
    (tmp_path / "link").symlink_to(tmp_path / "inner")
    (tmp_path / "board.json").write_text('{"panels": [{"title": "the truth", "uid": "the truth"}]}')
    assert len([line for text in texts(tmp_path) for line in findings(text)]) == 3


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.pattern[:20])
def test_each_phrase_has_a_reason_and_a_way_out(phrase: Phrase) -> None:
    assert phrase.reason
    assert list(findings(Text("", phrase.instead))) == []


@pytest.mark.parametrize(
    "text",
    ["there is no model", "Zipf's law", "the log level", "a bar chart", "look it up", "a look-up"],
)
def test_standard_english_is_fine(text: str) -> None:
    assert list(findings(Text("", text))) == []
