"""Files become messages that the job accepts; what it would reject is named before it is sent."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from driftline.config import Input, Labels
from driftline.errors import DriftlineError
from driftline.sending import label_file
from driftline.sending.messages import lines_of, require_valid
from driftline.streaming.scoring.labels import as_input

NOW = datetime.now(UTC).replace(microsecond=0)
EVENTS = Input.model_validate(
    {"topic": "t", "event_id": "id", "event_time": "at", "fields": {"amount": "float"}}
)


def event(number: int, **more: Any) -> bytes:
    return json.dumps({"id": f"e{number}", "at": NOW.isoformat(), "amount": 1.5, **more}).encode()


def test_empty_lines_are_none(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n" + event(1) + b"\r\n\n  \n" + event(2))
    assert list(lines_of(path)) == [[event(1), event(2)]]


def test_rejected_messages_are_named() -> None:
    chunks = [[event(1), b"{"], [event(2, amount="x"), event(3)]]
    with pytest.raises(DriftlineError) as error:
        require_valid(EVENTS, chunks, "events.jsonl")
    text = str(error.value)
    assert text.startswith("events.jsonl: 2 of 4 messages would be rejected, so nothing was sent")
    assert "message 2: " in text
    assert "message 3: " in text


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DriftlineError, match=r"can't read .*: No such file"):
        list(lines_of(tmp_path / "none"))
    with pytest.raises(DriftlineError, match="can't read"):
        label_file.read(tmp_path / "none.parquet")
    with pytest.raises(DriftlineError, match=r"unknown format of .*labels.xls'"):
        label_file.read(tmp_path / "labels.xls")


def labels(kind: str = "bool", time_format: str = "iso8601") -> Labels:
    keys = {"event_id": "id", "label": "fraud", "time": "known_at"}
    return Labels.model_validate({"topic": "l", "type": kind, "time_format": time_format, **keys})


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("time_format", ["iso8601", "epoch_ms"])
def test_each_format_gives_the_same_labels(suffix: str, time_format: str, tmp_path: Path) -> None:
    path = tmp_path / f"labels.{suffix}"
    times = [NOW - timedelta(hours=1), NOW]
    table = pa.table({"id": ["a", "b"], "fraud": [True, False], "known_at": times, "more": [1, 2]})
    if suffix == "parquet":
        pyarrow.parquet.write_table(table, path)
    elif suffix == "csv":
        pyarrow.csv.write_csv(table, path)
    else:
        rows = [{**row, "known_at": row["known_at"].isoformat()} for row in table.to_pylist()]
        path.write_text("\n".join(map(json.dumps, rows)))
    settings = labels(time_format=time_format)
    (made,) = label_file.messages(settings, label_file.read(path), NOW)
    assert require_valid(as_input(settings), [made], "labels") == 2
    decoded = [json.loads(message) for message in made]
    assert [(one["id"], one["fraud"], set(one)) for one in decoded] == [
        ("a", True, {"id", "fraud", "known_at"}),
        ("b", False, {"id", "fraud", "known_at"}),
    ]


@pytest.mark.parametrize("value", [0, 1, True, False, 1.0])
def test_zero_and_one_are_bools(value: Any) -> None:
    table = pa.table({"id": ["a"], "fraud": [value]})
    (made,) = label_file.messages(labels(), table, NOW)
    assert json.loads(made[0])["fraud"] is bool(value)
    assert require_valid(as_input(labels()), [made], "labels") == 1


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DriftlineError, match=r"no column 'fraud' \(labels.label\): .*is_fraud"):
        list(label_file.messages(labels(), pa.table({"id": ["a"], "is_fraud": [1]}), NOW))


def test_labels_without_a_time_are_known_now() -> None:
    table = pa.table({"id": ["a"], "fraud": [1]})
    (made,) = label_file.messages(labels(time_format="epoch_s"), table, NOW)
    assert json.loads(made[0])["known_at"] == round(NOW.timestamp())
