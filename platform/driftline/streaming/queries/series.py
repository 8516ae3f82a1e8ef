"""Pandas series, in which PyFlink passes columns to functions and takes results."""

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

# Held by PostgreSQL and 64 bits of microseconds (to the year 294247), with room for `accept`.
_RANGE = (np.datetime64("-4000-01-01", "s"), np.datetime64("290000-01-01", "s"))
_COARSE = ("s", "ms")  # units that exceed these limits


def utc(times: Series) -> Times:
    """Flink's local-time series (the job's time zone is UTC) as datetime64[us][n].

    A producer may set any 64-bit number of milliseconds as a record's time; a time that
    microseconds or PostgreSQL cannot hold becomes the nearest one that they can.
    """
    values = times.dt.tz_localize(None).to_numpy()
    if np.datetime_data(values.dtype)[0] in _COARSE:
        values = np.clip(values, *_RANGE)
    return values.astype("datetime64[us]")


def row_of_message(messages: npt.NDArray[Any], n: int) -> pa.Array:
    """The row of each of n messages, null if it has none; int64[n].

    Parameters:
        messages: int[k], the message of each row.

    >>> row_of_message(np.array([2, 0]), 4).to_pylist()
    [1, None, 0, None]
    """
    rows = np.full(n, -1, dtype=np.int64)
    rows[messages] = np.arange(len(messages))
    return pa.array(rows, mask=rows < 0)


def to_series(column: pa.Array) -> Series:
    """A column for PyFlink; whole numbers and bools keep their type if values are missing.

    >>> to_series(pa.array([2**63 - 1, None])).tolist()
    [9223372036854775807, None]
    """
    if pa.types.is_timestamp(column.type) or not column.null_count:
        plain: Series = column.to_pandas()
        return plain
    return pd.Series(column.to_pylist(), dtype=object)
