"""Blocks of time of a reference add up to it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from driftline.errors import SchemaError
from driftline.profile import blocks
from driftline.profile.build import build
from driftline.profile.profile import Profile
from driftline.profile.recount import reference

START = datetime(2024, 1, 1, tzinfo=UTC)


def table(n: int = 500) -> tuple[pa.Table, pa.Array]:
    rng = np.random.default_rng(4)
    times = [START + timedelta(hours=float(h)) for h in rng.uniform(0, 72, n)]
    rows = pa.table(
        {
            "amount": pa.array(rng.normal(0, 1, n), mask=rng.uniform(size=n) < 0.1),
            "country": rng.choice(["de", "fr"], n),
            "score": rng.uniform(0, 1, n),
        }
    )
    return rows, pa.array(times, pa.timestamp("us", tz="UTC"))


@pytest.mark.parametrize("seconds", [300, 3_600, 86_400])
def test_they_add_up_to_the_reference(seconds: int) -> None:
    rows, times = table()
    features, score = rows.drop_columns(["score"]), rows.column("score").to_numpy()
    binning = build(features, score)
    whole = reference(features, score, binning)
    made = blocks.build(rows, times, binning, seconds, ["country=de"])
    every = [one for one in made if one.segment == ""]
    assert Profile.of(binning, *(one.cells for one in every)) == whole
    assert sum(one.rows for one in every) == 500
    german = sum(one.rows for one in made if one.segment == "country=de")
    assert german == rows.column("country").to_pylist().count("de")
    assert all(int(one.start.timestamp()) % seconds == 0 for one in made)
    assert blocks.from_bytes(blocks.to_bytes(every)) == every


def test_rows_without_a_time_are_left_out() -> None:
    rows, times = table(10)
    binning = build(rows.drop_columns(["score"]), rows.column("score").to_numpy())
    gaps = pa.array([None, *times.to_pylist()[1:]], times.type)
    assert sum(one.rows for one in blocks.build(rows, gaps, binning, 86_400)) == 9
    with pytest.raises(SchemaError, match="no column 'amount'"):
        blocks.build(rows.drop_columns(["amount"]), times, binning, 86_400)


def test_long_references_have_days() -> None:
    hours = pa.array([START + timedelta(hours=i) for i in range(blocks.MAX_BLOCKS + 1)])
    assert blocks.seconds_for(hours) == blocks.DAY
    assert blocks.seconds_for(hours.slice(1)) == blocks.HOUR
