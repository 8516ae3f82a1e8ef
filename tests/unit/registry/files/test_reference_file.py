"""Event times of a reference have the config's format, or the file is refused; never dropped."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.errors import RegistryError
from driftline.registry.files.reference_file import read

AT = [datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC), datetime(2026, 1, 3, tzinfo=UTC)]
TEXTS = ["2026-01-02T03:04:05.678Z", "2026-01-03T01:00:00+01:00"]


def written(folder: Path, times: Any) -> Path:
    table = pa.table({"event_time": times, "x": [1.0, 2.0], "event_id": ["a", "b"], "y": [1, 2]})
    pq.write_table(table, folder / "reference.parquet")
    return folder / "reference.parquet"


@pytest.mark.parametrize(
    ("times", "time_format"),
    [
        (pa.array(AT, pa.timestamp("ms", "UTC")), None),
        (pa.array([time.replace(tzinfo=None) for time in AT]), "epoch_s"),
        (TEXTS, "iso8601"),
        (pa.array(TEXTS, pa.large_string()), "iso8601"),
        (["2026-01-02 03:04:05.678", "2026-01-03"], "iso8601"),
        ([1_767_323_045.678, 1_767_398_400.0], "epoch_s"),
        ([1_767_323_045_678, 1_767_398_400_000], "epoch_ms"),
        ([1_767_323_045_678_000, 1_767_398_400_000_000], "epoch_us"),
    ],
    ids=str,
)
def test_times_are_read(tmp_path: Path, times: Any, time_format: str | None) -> None:
    reference = read(written(tmp_path, times), (), time_format)
    assert reference.times is not None
    assert reference.times.cast(pa.timestamp("us", "UTC")).to_pylist() == AT
    assert reference.features.column_names == ["x", "y"]
    assert str(reference) == (
        "2 rows of 2 columns, event times from 2026-01-02 03:04 to 2026-01-03 00:00 UTC"
    )


def test_days_are_times(tmp_path: Path) -> None:
    reference = read(written(tmp_path, [date(2026, 1, 2), date(2026, 1, 3)]))
    assert reference.times is not None
    assert reference.times.to_pylist() == [datetime(2026, 1, n, tzinfo=UTC) for n in (2, 3)]


@pytest.mark.parametrize(
    ("times", "time_format", "message"),
    [
        (TEXTS, None, "it has type string, and no model of the config has its format"),
        (TEXTS, "epoch_ms", "it is text, but input.time_format is epoch_ms"),
        ([1, 2], "iso8601", "it has type int64, but input.time_format is iso8601"),
        (["noon", "2026-01-03"], "iso8601", "noon"),
        ([True, False], "epoch_s", "it has type bool"),
        ([2**62, 1], "epoch_s", "overflow"),
    ],
    ids=str,
)
def test_others_are_refused(
    tmp_path: Path, times: Any, time_format: str | None, message: str
) -> None:
    with pytest.raises(RegistryError, match=rf"can't read 'event_time' of .*{message}") as error:
        read(written(tmp_path, times), (), time_format)
    assert "exclude it with --exclude event_time" in str(error.value)
    left_out = read(written(tmp_path, times), ["event_time"], time_format)
    assert left_out.times is None
    assert str(left_out) == ("2 rows of 2 columns, without event times (a column 'event_time')")
