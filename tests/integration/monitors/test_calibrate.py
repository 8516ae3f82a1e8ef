"""`driftline calibrate` on a stored reference, and null distributions that outlive a runner."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from driftline.cli.app import app
from driftline.config import Config
from driftline.monitors.calibration.judges import Judges
from driftline.monitors.calibration.sensitivity import of_model
from driftline.monitors.windows.verdict import Window
from driftline.storage.connection import connect
from driftline.storage.versions import promotions
from tests.integration.monitors.conftest import START, Stream, monitors


@pytest.fixture(scope="module")
def stream(make_stream: Callable[..., Stream]) -> Stream:
    return make_stream()


@pytest.fixture
def config_file(stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stream's config as a file, with its passwords in the environment."""
    return write(stream.config, tmp_path / "driftline.yaml", monkeypatch)


def write(config: Config, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tree = config.model_dump(mode="json", exclude_unset=True)
    tree["postgres"] = config.postgres.model_dump(mode="json", exclude_unset=True)
    path.write_text(yaml.safe_dump(tree))
    return path


def calibrate(path: Path, *arguments: str) -> Any:
    result = CliRunner().invoke(app, ["calibrate", "fraud", "--config", str(path), *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_every_look_and_size_is_shown(config_file: Path) -> None:
    actual = json.loads(calibrate(config_file, "--rows", "100", "--rows", "400", "--json"))
    tests = actual["tests"]
    assert {item["rows"] for item in tests} == {100.0, 400.0}
    assert {(item["test"]["column"], item["test"]["monitor"]) for item in tests} >= {
        ("amount", "omnibus"),
        ("amount", "location"),
        ("country", "largest_category"),
        ("score", "missing"),
    }
    (small, large) = [
        item
        for item in tests
        if (item["test"]["column"], item["test"]["monitor"]) == ("amount", "location")
    ]
    # more rows, a nearer threshold, a smaller change that is found
    assert small["expected"] < large["threshold"] < small["threshold"]
    assert 0 < large["detectable"] < small["detectable"]
    weekly = actual["expected_false_incidents_per_week"]["400"]
    assert 0 < weekly <= actual["budget_per_week"]


def test_what_is_shown_and_what_is_beside_it_are_the_whole_budget(config_file: Path) -> None:
    actual = json.loads(calibrate(config_file, "--rows", "400", "--json"))
    slow = [item for item in actual["tests"] if item["test"]["monitor"] == "slow_drift"]
    assert [item["test"]["column"] for item in slow] == ["amount", "score"]
    for item in slow:
        assert item["threshold"] > 0
        assert (item["attainable"], item["detectable"], item["calibrated"]) == (None, None, True)
    assert sum(item["per_week"] for item in slow) == pytest.approx(0.1)
    shown = sum(item["level"] * 24 * 7 for item in actual["tests"])
    beside = actual["other_per_week"]
    assert set(beside) == {"volume", "rejected messages", "versions side by side"}
    assert shown + sum(beside.values()) == pytest.approx(actual["budget_per_week"])


def test_the_last_sentence_says_what_the_total_covers(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(
        labels={"topic": "truth", "type": "bool"},
        segments=["country"],
        monitors=monitors(
            segments=["country=de"],
            multivariate={"alert": True},
            checks={"slow_drift": {"alert": False}},
        ),
    )
    supported = of_model(stream.config, stream.name, None, "", [400])
    looks = [item for item in supported.tests if item.test.column == "amount"]
    last = supported.sentences(looks)[-1]
    counted = "included: omnibus, location, missing, unexpected, constant of amount; in addition"
    assert last.startswith(counted)
    for part in (
        "volume 0.050",
        "realised performance 0.200",
        "country=de 0.",
        "domain_classifier",
    ):
        assert part in last
    assert "slow_drift" not in last


def test_a_table_and_a_picture(config_file: Path, tmp_path: Path) -> None:
    page = tmp_path / "calibration.html"
    text = calibrate(config_file, "--column", "amount", "--plot", str(page))
    assert "location" in text
    assert "false incidents per week" in text
    assert "country" not in text
    html = page.read_text()
    for picture in ("change that alarms", "change detected in 90 % of", "significance level"):
        assert f"location: {picture}" in html
    assert "amount" in html
    assert "cdn." not in html.split("<body>")[1][:2_000]


def test_a_model_without_a_reference(config_file: Path) -> None:
    result = CliRunner().invoke(
        app, ["calibrate", "fraud", "--config", str(config_file), "--version", "9"]
    )
    assert result.exit_code != 0
    assert "has no reference" in str(result.exception)


def test_the_champion_is_meant_and_not_the_newest_version(
    make_stream: Callable[..., Stream], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = make_stream()
    path = write(stream.config, tmp_path / "driftline.yaml", monkeypatch)
    for table, columns in (
        ("model_version", "digest, signature, features_hash, binning_id"),
        ("reference", "binning_id, rows, cells, origin, since, until, block_seconds, note"),
    ):
        stream.sql(
            f"INSERT INTO driftline.{table} (model, version, {columns})"
            f" SELECT model, 2, {columns} FROM driftline.{table}"
        )
    with connect(stream.config.postgres, "write", autocommit=True) as connection:
        promotions.record_first(connection, "fraud", 1, by="test")
    assert of_model(stream.config, "fraud", None, "", None).title == "fraud version 1"
    stream.sql("DELETE FROM driftline.model_version")
    nothing = CliRunner().invoke(app, ["calibrate", "fraud", "--config", str(path)])
    assert str(nothing.exception).startswith("no version of model 'fraud' was loaded yet: 'dri")


def test_laws_are_kept_for_the_next_runner(stream: Stream) -> None:
    stream.hour(0)
    window = Window(3_600, START + timedelta(hours=1))

    def judged() -> tuple[list[float | None], int]:
        judges = Judges("fraud", stream.section)
        with connect(stream.config.postgres, "write") as connection:
            judges.refresh(connection)
            judge = judges.get(connection, 1, "")
            past = len(judge.calibrator.nulls())
            verdicts = judge.judge(window, judge.reference.total)
            judges.store_nulls(connection)
        return [verdict.p_value for verdict in verdicts], past

    first, known_first = judged()
    again, known_again = judged()
    assert known_first == 0
    assert known_again > 0
    assert first == again
    # another reference has other null distributions
    stream.sql("UPDATE driftline.reference SET created_at = clock_timestamp()")
    assert judged()[1] == 0
