"""Frozen cells: their identity, their round trip, what is refused."""

import json
from itertools import pairwise

import numpy as np
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
        CategoryBins("hashed", ("a",), ("b",), 4),
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
        cells = np.arange(bins.summed + bins.plain)
        joined = bins.joined(cells) if isinstance(bins, CategoryBins) else cells
        assert len(bins.labels()) == len(joined)


def test_hashed_cells_are_joined_to_what_they_hold() -> None:
    seen = CategoryBins("c", ("a",), ("b",), 4)
    assert seen.joined(np.array([[7, 5, 1, 2, 3, 4, 9]])).tolist() == [[7, 5, 10, 9]]
    unknown = CategoryBins("c", ("a",), None, 4)
    assert unknown.joined(np.array([7, 0, 1, 2, 3, 4, 9])).tolist() == [7, 10, 0, 9]


def test_a_binning_from_before_there_were_hashed_cells_keeps_its_id() -> None:
    text = Binning((CategoryBins("c", ("a",), ("b",)),)).to_json()
    assert "hashed" not in text
    assert Binning.from_json(text).to_json() == text


@pytest.mark.parametrize("hashed", [0, 3, 8_192, "4", None])
def test_cells_by_hash_are_a_power_of_two(hashed: object) -> None:
    column = {"kind": "category", "name": "c", "categories": [], "pooled": [], "hashed": hashed}
    with pytest.raises(SchemaError, match="has invalid bins"):
        Binning.from_json(json.dumps({"format": 1, "columns": [column]}))


def test_another_format_is_refused() -> None:
    tree = {**json.loads(BINNING.to_json()), "format": 9}
    with pytest.raises(SchemaError, match="binning is of format 9, this driftline reads 1: use"):
        Binning.from_json(json.dumps(tree))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "columns": [{"kind": "odd"}]}'])
def test_text_that_is_no_binning_is_refused(text: str) -> None:
    with pytest.raises(SchemaError, match="can't read the binning"):
        Binning.from_json(text)


def test_unknown_column_names_what_there_is() -> None:
    there = r"\(available: x, c, many, hashed, b"
    with pytest.raises(SchemaError, match=rf"no column 'y' in binning .* {there}"):
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
