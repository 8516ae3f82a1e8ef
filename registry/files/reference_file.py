"""The reference that a version is registered with: a Parquet file of features, by event time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from driftline import names, parquet
from driftline.errors import RegistryError

_UNITS = {"epoch_s": 1_000_000.0, "epoch_ms": 1_000.0, "epoch_us": 1.0}  # microseconds
_TIMES = pa.timestamp("us", tz="UTC")
_ZONE = r"[T ].*(Z|[+-]\d\d(:?\d\d)?)$"


@dataclass(frozen=True)
class Reference:
    """What a file holds.

    Attributes:
        features: n rows.
        times: n event times; None where it has none.
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
    """Read a reference.

    Parameters:
        path: a Parquet file.
        exclude: columns that are no features.
        time_format: of event times that are text or numbers, as `input.time_format` says it.

    Raises:
        RegistryError: it can't be read, lacks a column of `exclude`, or its event times are not as
            `time_format` says.
    """
    try:
        table = parquet.read(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise RegistryError(
            f"can't read the reference {str(path)!r} as Parquet: {error}"
        ) from error
    absent = sorted(set(exclude) - set(table.column_names))
    if absent:
        raise RegistryError(
            f"the reference has no column {absent[0]!r} (there: {', '.join(table.column_names)})"
        )
    others = {*names.SYSTEM_COLUMNS, *exclude}
    kept = table.select([column for column in table.column_names if column not in others])
    if names.EVENT_TIME not in table.column_names or names.EVENT_TIME in exclude:
        return Reference(kept, None)
    try:
        return Reference(kept, _times(table.column(names.EVENT_TIME), time_format))
    except pa.ArrowInvalid as error:
        found = f"{names.EVENT_TIME!r} of the reference {str(path)!r}"
        raise RegistryError(
            f"can't read {found}: {error}: convert it to timestamps, or leave it out with "
            f"--exclude {names.EVENT_TIME}"
        ) from error


def _times(column: pa.ChunkedArray, time_format: str | None) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us")).cast(_TIMES)
    if time_format is None:
        raise pa.ArrowInvalid(f"it is {kind}, and no model of the config says how to read it")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        if time_format != "iso8601":
            raise pa.ArrowInvalid(f"it is text, and input.time_format is {time_format}")
        text = column.cast(pa.string())
        has_zone = pc.match_substring_regex(text, _ZONE)
        zoned = pc.if_else(has_zone, text, None).cast(_TIMES)
        return pc.coalesce(
            zoned, pc.if_else(has_zone, None, text).cast(pa.timestamp("us")).cast(_TIMES)
        )
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)) or time_format not in _UNITS:
        raise pa.ArrowInvalid(f"it is {kind}, and input.time_format is {time_format}")
    if pa.types.is_integer(kind):  # to the last digit
        scaled = pc.multiply_checked(column.cast(pa.int64()), int(_UNITS[time_format]))
    else:
        scaled = pc.round(pc.multiply(column, _UNITS[time_format])).cast(pa.int64())
    return scaled.cast(_TIMES)
