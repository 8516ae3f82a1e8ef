"""Pandas series, as PyFlink hands columns to functions and takes them back."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    Series = pd.Series[Any]
    Times = npt.NDArray[np.datetime64]
else:  # pandas' own classes take no parameters at run time
    Series, Times = pd.Series, np.ndarray

# Within both, with room for what `accept` adds: microseconds of 64 bits end in the year 294247.
_HELD = (np.datetime64("-4000-01-01", "s"), np.datetime64("290000-01-01", "s"))
_COARSE = ("s", "ms")  # finer ones reach no further


def utc(times: Series) -> Times:
    """Flink's local-time series (the job's time zone is UTC) as datetime64[us][n].

    A producer may set any 64 bits of milliseconds as a record's time: what microseconds and
    PostgreSQL cannot hold becomes the nearest that they can.
    """
    found = times.dt.tz_localize(None).to_numpy()
    if np.datetime_data(found.dtype)[0] in _COARSE:
        found = np.clip(found, *_HELD)
    return found.astype("datetime64[us]")


def places(messages: npt.NDArray[Any], n: int) -> pa.Array:
    """For each of n messages the row that it has, null where it has none; int64[n].

    Parameters:
        messages: int[k], the message of each row.

    >>> places(np.array([2, 0]), 4).to_pylist()
    [1, None, 0, None]
    """
    at = np.full(n, -1, dtype=np.int64)
    at[messages] = np.arange(len(messages))
    return pa.array(at, mask=at < 0)


def to_series(column: pa.Array) -> Series:
    """A column for PyFlink: whole numbers and bools keep their type beside missing ones.

    >>> to_series(pa.array([2**63 - 1, None])).tolist()
    [9223372036854775807, None]
    """
    if pa.types.is_timestamp(column.type) or not column.null_count:
        plain: Series = column.to_pandas()
        return plain
    return pd.Series(column.to_pylist(), dtype=object)
