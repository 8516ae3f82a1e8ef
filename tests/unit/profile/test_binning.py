"""Frozen cells: their identity, their round trip, what is refused."""

import json
from itertools import pairwise

import pyarrow as pa
import pytest

from driftline.errors import SchemaError
from driftline.profile import build
from driftline.profile.binning import Binning, BoolBins, CategoryBins, LogBins, NumericBins

BINNING = Binning(
    (
        NumericBins("x", (0.1, 1.0, 2.5), (1,)),
        CategoryBins("c", ("ä", ""), ("z",)),
        CategoryBins("many", ("a",), None),
        BoolBins("b"),
        LogBins("lag_ms"),
    )
)


def test_round_trip_keeps_everything() -> None:
    again = Binning.from_json(BINNING.to_json())
    assert again.columns == BINNING.columns
    assert again == BINNING
    assert hash(again) == hash(BINNING)
    assert again.id == BINNING.id
    assert len(again.id) == 16


def test_summed_cells_come_first_and_all_cells_are_placed_once() -> None:
    used = []
    for place in BINNING.cells.values():
        used += [*range(*place.summed.indices(BINNING.size))]
        used += [*range(*place.plain.indices(BINNING.size))]
    assert sorted(used) == list(range(BINNING.size))
    assert BINNING.cells["x"].summed == slice(0, 4)
    assert all(place.plain.start >= BINNING.summed for place in BINNING.cells.values())


def test_every_cell_has_a_label() -> None:
    for bins in BINNING.columns:
        assert len(bins.labels()) == bins.summed + bins.plain


def test_another_format_is_refused() -> None:
    tree = {**json.loads(BINNING.to_json()), "format": 9}
    with pytest.raises(SchemaError, match="binning is of format 9, this driftline reads 1: use"):
        Binning.from_json(json.dumps(tree))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "columns": [{"kind": "odd"}]}'])
def test_text_that_is_no_binning_is_refused(text: str) -> None:
    with pytest.raises(SchemaError, match="can't read the binning"):
        Binning.from_json(text)


def test_unknown_column_names_what_there_is() -> None:
    with pytest.raises(SchemaError, match=r"no column 'y' in binning .* \(there: x, c, many, b"):
        BINNING.column("y")


def test_log_bins_are_less_than_one_percent_wide() -> None:
    edges = LogBins("lag_ms").edges
    assert edges[0] <= 0.01
    assert edges[-1] >= 3.6e6
    assert max(b / a for a, b in pairwise(edges)) < 1.01
    assert len(edges) == LogBins.bins + 1


def test_a_feature_may_not_take_a_name_of_driftlines_own() -> None:
    with pytest.raises(SchemaError, match="feature 'score' is a column of driftline's own"):
        build.build(pa.table({"score": [1.0]}), [0.5])


def test_a_type_without_bins_is_refused() -> None:
    with pytest.raises(SchemaError, match="can't profile column 'x' of type list"):
        build.build(pa.table({"x": [[1.0]]}), [0.5])
