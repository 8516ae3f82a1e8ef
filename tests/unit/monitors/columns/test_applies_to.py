"""A monitor takes a column, and a share of the budget, where something can make it alarm."""

from dataclasses import replace

import pyarrow as pa
import pytest

from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import Monitor, applies_to
from driftline.profile.binning import Binning, CategoryBins
from driftline.profile.build import build
from driftline.profile.recount import recount, reference

ROWS = 400  # of a window
CERTAIN = 20.0  # of one degree of freedom, a chance of 1 in 100,000

COLUMNS: dict[str, pa.Array] = {
    "numbers": pa.array([float(i % 97) for i in range(2_000)]),
    "one number": pa.array([1.0] * 2_000),
    "bools": pa.array([i % 3 == 0 for i in range(2_000)]),
    "rare bools": pa.array([i % 500 == 0 for i in range(2_000)]),
    "one bool": pa.array([True] * 2_000),
    "one text": pa.array(["v0"] * 2_000),
    "few texts": pa.array([f"v{i % 7}" for i in range(2_000)]),
    "a tail": pa.array([f"v{i % 1_500}" for i in range(2_000)]),
    "more texts than are remembered": pa.array([f"v{i % 10_500}" for i in range(21_000)]),
}
WINDOWS: dict[pa.DataType, list[object]] = {
    pa.float64(): [0.0, 96.0, 1e9, float("nan")],
    pa.bool_(): [True, False],
}
TEXTS = ["v0", "v6", "v10499", "new"]  # most common, common, rare and unknown


def binnings(column: pa.Array) -> list[Binning]:
    """As it is built, and as it was when texts had a single hashed cell."""
    binning = build(pa.table({"x": column}), [0.5] * len(column))
    bins = binning.by_name["x"]
    if not isinstance(bins, CategoryBins):
        return [binning]
    return [binning, Binning((replace(bins, hashed=1), *binning.columns[1:]))]


def largest(monitor: Monitor, binning: Binning, column: pa.Array) -> float:
    """The largest statistic of windows in which every row has the same value."""
    table = pa.table({"x": column})
    base = Counts.of(reference(table, [0.5] * len(column), binning), "x")
    statistics = [0.0]
    for value in (None, *WINDOWS.get(column.type, TEXTS)):
        window = pa.table({"x": pa.array([value] * ROWS, column.type)})
        now = Counts.of(recount(window, binning), "x")
        if not monitor.sizes(now)[0]:
            continue
        statistics.append(float(monitor.compare(now, base).statistic[0]))
    return max(statistics)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize(
    "monitor", [m for m in MONITORS.values() if m.alerts], ids=lambda m: m.name
)
def test_what_takes_a_column_can_alarm(name: str, monitor: Monitor) -> None:
    column = COLUMNS[name]
    for binning in binnings(column):
        if applies_to(monitor, binning.by_name["x"]):
            assert largest(monitor, binning, column) > CERTAIN, binning.by_name["x"].kind
