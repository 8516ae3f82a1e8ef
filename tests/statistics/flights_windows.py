"""The year's flights as daily profiles: what real data does to a monitor, without any service.

Windows are days of event time in UTC, as the runner cuts them. The last one, 1 January 2014, holds
only an evening and is left out.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline import names
from driftline.demo import flights
from driftline.profile.binning import Binning, LogBins
from driftline.profile.build import build
from driftline.profile.count import increments
from driftline.profile.profile import Profile

WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
COLUMNS = (*WEATHER, "distance", "dep_delay", "hour", "carrier", "origin", "dest")
DAYS = tuple(date(2013, 1, 1) + timedelta(days=n) for n in range(365))

_MONDAY = date(2012, 12, 31)  # of the week that the year begins in


def week(day: date) -> int:
    """Which week since the year's first one, from 0; for 2013 this is ISO week - 1."""
    return (day - _MONDAY).days // 7


@cache
def rows() -> pa.Table:
    """Every departure: `day` (date32), event_time, `COLUMNS`, a score made of the delay, latencies.

    328,000 rows in the order of time. event_time is the day's first instant, so that `increments`
    counts by day and not by minute.
    """
    since = datetime(2013, 1, 1, tzinfo=UTC)
    events = flights.events(since, since + timedelta(days=365))
    day = events["time"].cast(pa.date32())
    delay = events["dep_delay"].to_numpy()
    return pa.table(
        {
            "day": day,
            names.EVENT_TIME: day.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC")),
            **{name: events[name] for name in COLUMNS},
            names.SCORE: pa.array(1 / (1 + np.exp(np.clip(15 - delay, -600, 600) / 15))),
            **dict.fromkeys((names.INFERENCE_MS, names.LAG_MS), pa.array(np.ones(len(delay)))),
        }
    )


def of(days: Collection[date]) -> pa.Table:
    """The rows of some days."""
    return rows().filter(pc.is_in(rows()["day"], pa.array(sorted(days), pa.date32())))


def binning(days: Collection[date], *, latencies: bool = False) -> Binning:
    """The cells that a reference of these days freezes: `COLUMNS`, the score, and latencies."""
    reference = of(days)
    built = build(reference.select(COLUMNS), reference[names.SCORE].to_numpy())
    return Binning(
        tuple(bins for bins in built.columns if latencies or not isinstance(bins, LogBins))
    )


def daily(cells: Binning) -> dict[date, Profile]:
    """One profile a day of the whole year, counted in these cells. Takes a second."""
    packed: dict[date, list[bytes]] = {day: [] for day in DAYS}
    for batch in rows().drop(["day"]).combine_chunks().to_batches():
        counted = increments(batch, cells)
        for bucket, one in zip(
            counted.column("bucket").to_pylist(), counted.column("cells").to_pylist(), strict=True
        ):
            packed[bucket.date()].append(one)
    return {day: Profile.of(cells, *parts) for day, parts in packed.items()}
