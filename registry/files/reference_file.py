"""The reference file for a version's registration: a Parquet file of features and event times."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from driftline import names, parquet
from driftline.errors import RegistryError

_MICROSECONDS = {"epoch_s": 1_000_000.0, "epoch_ms": 1_000.0, "epoch_us": 1.0}
_TIME_TYPE = pa.timestamp("us", tz="UTC")
_TIME_ZONE = r"[T ].*(Z|[+-]\d\d(:?\d\d)?)$"


@dataclass(frozen=True)
class Reference:
    """The content of a reference file.

    Attributes:
        features: n rows.
        times: n event times; None if there is no such column.
    """

    features: pa.Table
    times: pa.ChunkedArray | None

    def __str__(self) -> str:
        shape = f"{len(self.features):,} rows of {self.features.num_columns} columns"
        if self.times is None:
            return f"{shape}, without event times (a column {names.EVENT_TIME!r})"
        span = pc.min_max(self.times).as_py()
        first, last = (f"{span[end]:%Y-%m-%d %H:%M}" for end in ("min", "max"))
        return f"{shape}, event times from {first} to {last} UTC"


def read(path: Path, exclude: Sequence[str] = (), time_format: str | None = None) -> Reference:
    """Read a reference file.

    Parameters:
        path: a Parquet file.
        exclude: columns that are not features.
        time_format: the format of event times that are text or numbers, as `input.time_format`.

    Raises:
        DriftlineError: the file can't be read, lacks a column of `exclude`, or its event times do
            not have the format `time_format`.
    """
    table = parquet.read(path, "the reference")
    missing = sorted(set(exclude) - set(table.column_names))
    if missing:
        raise RegistryError(
            f"the reference has no column {missing[0]!r} to exclude (available: "
            f"{', '.join(table.column_names)})"
        )
    not_features = {*names.SYSTEM_COLUMNS, *exclude}
    features = table.select([name for name in table.column_names if name not in not_features])
    if names.EVENT_TIME not in table.column_names or names.EVENT_TIME in exclude:
        return Reference(features, None)
    try:
        return Reference(features, _times(table.column(names.EVENT_TIME), time_format))
    except pa.ArrowInvalid as error:
        raise RegistryError(
            f"can't read {names.EVENT_TIME!r} of the reference {str(path)!r}: {error}: convert it "
            f"to timestamps, or exclude it with --exclude {names.EVENT_TIME}"
        ) from error


def _times(column: pa.ChunkedArray, time_format: str | None) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us")).cast(_TIME_TYPE)
    if time_format is None:
        raise pa.ArrowInvalid(f"it has type {kind}, and no model of the config has its format")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        if time_format != "iso8601":
            raise pa.ArrowInvalid(f"it is text, but input.time_format is {time_format}")
        text = column.cast(pa.string())
        has_zone = pc.match_substring_regex(text, _TIME_ZONE)
        zoned = pc.if_else(has_zone, text, None).cast(_TIME_TYPE)
        utc = pc.if_else(has_zone, None, text).cast(pa.timestamp("us")).cast(_TIME_TYPE)
        return pc.coalesce(zoned, utc)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)) or (
        time_format not in _MICROSECONDS
    ):
        raise pa.ArrowInvalid(f"it has type {kind}, but input.time_format is {time_format}")
    unit = _MICROSECONDS[time_format]
    if pa.types.is_integer(kind):  # exact
        scaled = pc.multiply_checked(column.cast(pa.int64()), int(unit))
    else:
        scaled = pc.round(pc.multiply(column, unit)).cast(pa.int64())
    return scaled.cast(_TIME_TYPE)
