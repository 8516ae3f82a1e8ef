"""Labels from a file of Parquet, CSV or JSON lines, as messages of a model's label topic."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from driftline.config import Labels
from driftline.errors import DriftlineError
from driftline.sending.generate import CHUNK, written_time

_READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".parquet": pyarrow.parquet.read_table,
    ".csv": pyarrow.csv.read_csv,
    ".json": pyarrow.json.read_json,
    ".jsonl": pyarrow.json.read_json,
}


def read(path: Path) -> pa.Table:
    """Read a file by its suffix.

    Raises:
        DriftlineError: there is no such file, its suffix is another one, or it cannot be read.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DriftlineError(f"unknown format of {str(path)!r}: use one of {', '.join(_READERS)}")
    try:
        return reader(path)
    except (OSError, pa.ArrowException) as error:
        raise DriftlineError(f"can't read {str(path)!r}: {error}") from None


def messages(labels: Labels, table: pa.Table, now: datetime) -> Iterator[list[bytes]]:
    """The rows of a table as messages, at most 10,000 at a time.

    Parameters:
        labels: the section of the model; its keys name the columns.
        table: with a column for the event ID and one for the label; the column with the time at
            which a label was known may be missing: then it is `now`.

    Raises:
        DriftlineError: a column is missing.
    """
    for key, meaning in ((labels.event_id, "event_id"), (labels.label, "label")):
        if key not in table.column_names:
            raise DriftlineError(
                f"the file has no column {key!r} (labels.{meaning}): its columns are "
                f"{', '.join(table.column_names)}"
            )
    keys = [
        key for key in (labels.event_id, labels.label, labels.time) if key in table.column_names
    ]
    for batch in table.select(keys).to_batches(CHUNK):
        rows = batch.to_pylist()
        for row in rows:
            row[labels.time] = _time(row.get(labels.time, now), labels.time_format)
            row[labels.label] = _label(row[labels.label], labels.type)
        yield [msgspec.json.encode(row) for row in rows]


def _time(value: Any, time_format: str) -> Any:
    if not isinstance(value, datetime):
        return value
    time = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return written_time(time, time_format)


def _label(value: Any, kind: str) -> Any:
    """Whole numbers 0 and 1 are how many files write false and true."""
    return bool(value) if kind == "bool" and value in (0, 1) else value
