"""The commands of monitoring, as a person types them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from driftline.cli.app import app
from tests.integration.monitors.conftest import Stream, monitors


@pytest.fixture(scope="module")
def stream(make_stream: Any) -> Stream:
    return fed(make_stream)


def fed(make_stream: Any) -> Stream:
    created: Stream = make_stream()
    for number in range(6):
        created.hour(number, shift=40.0 if number == 2 else 0.0)
    return created


@pytest.fixture(scope="module")
def path(stream: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(stream, tmp_path_factory.mktemp("config"))


def written(stream: Stream, folder: Path) -> Path:
    created = folder / "driftline.yaml"
    tree = json.loads(stream.config.model_dump_json(exclude_unset=True))
    postgres = stream.config.postgres.model_dump(mode="json", exclude_none=True)
    created.write_text(yaml.safe_dump({**tree, "postgres": postgres}))
    return created


def typed(path: Path, *words: str) -> Any:
    return CliRunner().invoke(app, [*words, "--config", str(path)])


def test_from_judging_to_an_acknowledged_incident(make_stream: Any, tmp_path: Path) -> None:
    path = written(fed(make_stream), tmp_path)
    done = typed(path, "monitor", "--once")
    assert done.exit_code == 0, done.output
    assert "windows judged, " in done.output
    assert "fraud drift (resolved): " in done.output
    over = typed(path, "alerts", "list")
    assert over.exit_code == 3
    assert "no runner watches it; driftline monitor" in over.output
    assert typed(path, "alerts", "list", "--judged-within", "1 h").output.strip() == "no alerts"
    history = json.loads(typed(path, "alerts", "history", "--json").output)
    drift = next(item for item in history if item["family"] == "drift")
    shown = typed(path, "alerts", "show", str(drift["id"]))
    assert "amount" in shown.output
    # hour 2 alarmed, and the hours after it were good
    assert drift["resolved_at"] is not None
    assert drift["resolution"] == "2 windows of 1 h in a row without an alarm"
    assert drift["resolution"] in shown.output
    assert typed(path, "alerts", "ack", str(drift["id"])).exit_code == 1
    listed = json.loads(typed(path, "alerts", "list", "--all", "--json").output)
    assert [item["model"] for item in listed["unwatched"]] == ["fraud"]
    assert {item["family"] for item in listed["alerts"]} == {
        *("drift", "quality", "latency", "volume"),
        *("performance", "registry", "pipeline"),
    }


def test_an_open_incident_is_acknowledged(make_stream: Any, tmp_path: Path) -> None:
    stream: Stream = make_stream()
    for hour in range(3):
        stream.hour(hour, shift=40.0 if hour == 1 else 0.0)
    path = written(stream, tmp_path)
    never = typed(path, "alerts", "list")
    assert never.exit_code == 3
    assert never.output.strip() == "fraud: never watched: no runner watches it; driftline monitor"
    assert typed(path, "monitor", "--once").exit_code == 0
    listed = typed(path, "alerts", "list", "--json")
    assert listed.exit_code == 1  # something fires
    alerts = json.loads(listed.output)["alerts"]
    (drift,) = (item for item in alerts if item["family"] == "drift")
    number = str(drift["incident_id"])
    done = typed(path, "alerts", "ack", number, "--reason", "known, fixed tomorrow")
    assert done.exit_code == 0, done.output
    shown = typed(path, "alerts", "show", number).output
    assert "known, fixed tomorrow" in shown
    assert " 1 h " in shown  # the window of what contributed
    assert "(acknowledged by " in typed(path, "alerts", "list").output


def test_a_new_level_of_traffic_is_accepted(make_stream: Any, tmp_path: Path) -> None:
    stream: Stream = make_stream(monitors=monitors(windows=["1 d"]))
    for day in range(10):
        stream.hour(24 * day, n=400, shift=40.0 if day == 2 else 0.0)
    for day in (10, 11):
        stream.hour(24 * day, n=4_000)
    path = written(stream, tmp_path)
    assert typed(path, "monitor", "--until-idle").exit_code == 0
    alerts = json.loads(typed(path, "alerts", "list", "--json").output)["alerts"]
    (volume,) = (item for item in alerts if item["state"] == "firing")
    assert (volume["family"], volume["severity"]) == ("volume", "page")
    number = str(volume["incident_id"])
    accepted = typed(path, "alerts", "accept", number, "--reason", "a second shop")
    assert accepted.exit_code == 0, accepted.output
    assert "volume of fraud since 2024-03-14 00:00 is the new normal" in accepted.output
    shown = typed(path, "alerts", "show", number).output
    assert "accepted as the new normal by" in shown
    assert "a second shop" in shown
    titles = stream.sql("SELECT title, body FROM driftline.notification ORDER BY id")
    assert any(f"driftline alerts accept {number}" in body for _, body in titles)
    assert titles[-1][0].startswith("[resolved] fraud: volume")
    for day in range(12, 18):
        stream.hour(24 * day, n=4_000)
    assert typed(path, "monitor", "--until-idle").exit_code == 0
    assert "firing" not in typed(path, "alerts", "list", "--judged-within", "1 h").output
    for day in (18, 19):
        stream.hour(24 * day, n=400)  # the normal level before
    assert typed(path, "monitor", "--until-idle").exit_code == 0
    history = json.loads(typed(path, "alerts", "history", "--json").output)
    volumes = [item["resolved_at"] is None for item in history if item["family"] == "volume"]
    assert volumes == [True, False]
    drift = next(item["id"] for item in history if item["family"] == "drift")
    refused = typed(path, "alerts", "accept", str(drift))
    assert refused.exit_code == 1
    assert "set a new one with 'driftline reference set fraud" in str(refused.exception)
    none = typed(path, "alerts", "accept", "99")
    assert "no incident 99" in str(none.exception)


def test_silences(path: Path, stream: Stream) -> None:
    created = typed(path, "alerts", "silence", "fraud", "--for", "2 h", "--reason", "sale")
    assert created.exit_code == 0, created.output
    assert "fraud all families for 2 h" in created.output
    ended = typed(path, "alerts", "unsilence", "fraud")
    assert ended.output.strip() == "1 silence ended"
    wrong = typed(path, "alerts", "silence", "fraud", "--for", "2 h", "--family", "nope")
    assert "unknown family 'nope': give one of drift" in str(wrong.exception)
    assert "a number and a unit" in str(
        typed(path, "alerts", "silence", "fraud", "--for", "long").exception
    )


def test_references(path: Path) -> None:
    shown = json.loads(typed(path, "reference", "show", "fraud", "--json").output)
    assert (shown["version"], shown["origin"], shown["provisional"]) == (1, "file", False)
    assert shown["blocks"] == [{"segment": "", "seconds": 3600, "blocks": 720}]
    compared = typed(
        path, "reference", "compare", "fraud", "--since", "2024-03-04", "--until", "2024-03-05"
    )
    assert compared.exit_code == 0, compared.output
    assert "amount" in compared.output
    nothing = typed(path, "reference", "set", "fraud")
    assert "a window (--since and --until) or a file" in str(nothing.exception)


def test_backfill(path: Path) -> None:
    done = typed(
        path, "backfill", "fraud", "--since", "2024-03-04", "--until", "2024-03-04T04:00:00"
    )
    assert done.exit_code == 0, done.output
    assert "4 windows judged" in done.output


def test_the_doctor_says_what_to_do(path: Path) -> None:
    actual = json.loads(typed(path, "doctor", "--json").output)
    by_check: dict[str, list[dict[str, str]]] = {}
    for item in actual:
        by_check.setdefault(item["check"], []).append(item)
    assert by_check["database"][0]["level"] == "ok"
    assert by_check["references"][0]["level"] == "ok"
    assert ("problem", "driftline monitor") in [
        (item["level"], item["fix"]) for item in by_check["runner"]
    ]
    assert any("topic 'events' of" in item["message"] for item in by_check["kafka"])
    assert by_check["registry"][0]["level"] == "problem"
    assert typed(path, "doctor").exit_code == 1


def test_old_results_go(path: Path, stream: Stream) -> None:
    typed(path, "monitor", "--until-idle")
    previous = stream.sql("SELECT count(*) FROM driftline.verdict")[0][0]
    assert typed(path, "compact").exit_code == 0
    assert stream.sql("SELECT count(*) FROM driftline.verdict")[0][0] == previous
    for table in ("verdict", "judged_window"):
        stream.sql(f"UPDATE driftline.{table} SET judged_at = judged_at - interval '91 days'")
    assert typed(path, "compact").exit_code == 0
    left = stream.sql("SELECT DISTINCT status FROM driftline.verdict")
    assert left == [("alarm",)]
    assert stream.sql("SELECT count(*) FROM driftline.window_stat") == [(0,)]
