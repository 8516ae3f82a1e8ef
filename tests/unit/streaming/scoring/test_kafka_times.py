"""Whatever time a producer has set on a record, the store can hold it."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from driftline.config import AcceptedTime
from driftline.streaming.queries.series import utc
from driftline.streaming.scoring.decode import accepted


def milliseconds(*times: int) -> "pd.Series[pd.Timestamp]":
    """As PyFlink gives a TIMESTAMP_LTZ(3)."""
    return pd.Series(np.array(times, "datetime64[ms]")).dt.tz_localize("UTC")


def test_times_keep_their_value() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    times = utc(milliseconds(int(now.timestamp() * 1_000), 0, 253_402_300_800_000))
    assert times.dtype == "datetime64[us]"
    assert times.astype(str).tolist() == [
        "2026-01-02T03:04:05.678000",
        "1970-01-01T00:00:00.000000",
        "10000-01-01T00:00:00.000000",
    ]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (2**63 - 1, "290000-01-01T00:00:00.000000"),
        (9_223_372_036_854_775, "290000-01-01T00:00:00.000000"),
        (-(2**63) + 1, "-4000-01-01T00:00:00.000000"),
        (-300_000_000_000_000, "-4000-01-01T00:00:00.000000"),
    ],
)
def test_what_nobody_holds_becomes_the_nearest(time: int, expected: str) -> None:
    times = utc(milliseconds(time))
    assert times.astype(str).tolist() == [expected]
    widest = AcceptedTime.model_validate({"past": "700000 d", "future": "700000 d"})
    first, last = accepted(widest, times)
    assert first > last  # no event is that far away
