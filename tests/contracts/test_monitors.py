"""What every column monitor must bear, whatever it measures; new ones are found by themselves."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from driftline.config.monitors import Monitors
from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.reference import Blocks, Reference
from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import Monitor, applies_to
from driftline.monitors.windows.verdict import Verdict, Window
from driftline.profile.binning import Binning
from driftline.profile.build import build_column
from driftline.profile.profile import Profile
from driftline.profile.recount import leave_one_out, recount
from tests.statistics.streams import DAY, START

Draw = Callable[[np.random.Generator, int], npt.NDArray[np.generic]]

COLUMNS: dict[str, Draw] = {
    "numeric": lambda rng, n: rng.lognormal(0, 1, n),
    "category": lambda rng, n: rng.choice(["a", "b", "c", "d"], n, p=[0.6, 0.3, 0.09, 0.01]),
    "bool": lambda rng, n: rng.random(n) < 0.3,
    "long tail": lambda rng, n: rng.zipf(1.8, n).astype(str),
}


def table(kind: str, n: int, seed: int = 0) -> pa.Array:
    return pa.array(COLUMNS[kind](np.random.default_rng(seed), n))


def taking(kind: str) -> list[Monitor]:
    """The monitors that apply to a column of a kind."""
    bins = build_column("x", pa.chunked_array([table(kind, 20_000)]))
    return [monitor for monitor in MONITORS.values() if applies_to(monitor, bins)]


PAIRS = [
    pytest.param(monitor, kind, id=f"{monitor.name}-{kind}")
    for kind in COLUMNS
    for monitor in taking(kind)
]


def reference(kind: str, n: int = 20_000, days: int = 40) -> Reference:
    """A reference of many days; without blocks when days is 0."""
    return Reference(*counted(kind, n, days))


@cache
def counted(kind: str, n: int, days: int) -> tuple[Binning, Profile, Blocks | None]:
    """Its binning, all rows and the days."""
    column = pa.chunked_array([table(kind, n)])
    binning = Binning((build_column("x", column),))
    rows = leave_one_out(pa.table({"x": column}), binning)
    column, total = rows["x"], recount(rows, binning)
    if not days:
        return binning, total, None
    parts = [profile(binning, column.slice(i * n // days, n // days)) for i in range(days)]
    blocks = Blocks(
        DAY,
        START + DAY * np.arange(days),
        np.stack([part.counts for part in parts]),
        np.stack([part.sums for part in parts]),
    )
    return binning, total, blocks


def profile(binning: Binning, values: pa.Array | pa.ChunkedArray) -> Profile:
    return recount(pa.table({"x": values}), binning)


def judged(monitor: Monitor, known: Reference, current: Profile, **settings: object) -> Verdict:
    judge = Judge(
        Monitors.model_validate(
            {"windows": ["1 d"], "checks": {monitor.name: {"alert": True}}, **settings}
        ),
        known,
        monitors={monitor.name: monitor},
    )
    (verdict,) = judge.judge(Window(DAY, datetime.fromtimestamp(START + 60 * DAY, UTC)), current)
    assert verdict.status != "broken", verdict.detail
    for number in (verdict.value, verdict.p_value, verdict.threshold, verdict.effect):
        assert number is None or math.isfinite(number)
    assert verdict.p_value is None or 0 <= verdict.p_value <= 1
    assert verdict.monitor == monitor.name
    assert verdict.family == monitor.family
    return verdict


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_an_unchanged_window_is_ok(monitor: Monitor, kind: str) -> None:
    known = reference(kind)
    verdict = judged(monitor, known, profile(known.binning, table(kind, 2_000, seed=1)))
    assert verdict.status == "ok"
    assert verdict.p_value is not None
    assert verdict.p_value > 1e-3


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_nothing_is_changed_by_comparing(monitor: Monitor, kind: str) -> None:
    known = reference(kind)
    current = Counts.of(profile(known.binning, table(kind, 500, seed=1)), "x")
    before = Counts.of(known.total, "x")
    copies = [part.copy() for part in (current.cells, current.sums, before.cells, before.sums)]
    first, again = monitor.compare(current, before), monitor.compare(current, before)
    assert np.array_equal(first.statistic, again.statistic)
    for copy, part in zip(
        copies, (current.cells, current.sums, before.cells, before.sums), strict=True
    ):
        assert np.array_equal(copy, part)


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_many_windows_at_once_are_each_by_itself(monitor: Monitor, kind: str) -> None:
    known = reference(kind)
    before = Counts.of(known.total, "x")
    windows = [Counts.of(profile(known.binning, table(kind, 800, seed=s)), "x") for s in range(5)]
    hashed = [one.hashed for one in windows if one.hashed is not None]
    together = Counts(
        before.bins,
        np.concatenate([one.cells for one in windows]),
        np.concatenate([one.sums for one in windows]),
        np.concatenate(hashed) if hashed else None,
    )
    alone = [monitor.compare(one, before).statistic[0] for one in windows]
    assert np.allclose(monitor.compare(together, before).statistic, alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_the_same_distribution_is_no_change(monitor: Monitor, kind: str) -> None:
    known = reference(kind)
    whole = Counts.of(known.total, "x")
    assert monitor.compare(whole, whole).statistic[0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_an_empty_window_has_no_data(monitor: Monitor, kind: str) -> None:
    known = reference(kind)
    assert judged(monitor, known, Profile.of(known.binning)).status == "no_data"


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
@pytest.mark.parametrize("rows", [1, 49])
def test_few_rows_are_insufficient(monitor: Monitor, kind: str, rows: int) -> None:
    known = reference(kind)
    current = profile(known.binning, table(kind, rows, seed=1))
    assert judged(monitor, known, current).status == "insufficient"


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_one_row_is_judged_when_the_config_asks_for_it(monitor: Monitor, kind: str) -> None:
    known = reference(kind)
    usual = {"numeric": 1.0, "category": "a", "bool": False, "long tail": "1"}[
        kind
    ]  # the middle, the most frequent
    one = profile(known.binning, pa.array([usual]))
    verdict = judged(monitor, known, one, windows=[{"length": "1 d", "min_rows": 1}])
    assert verdict.status in ("ok", "not_calibrated")
    assert verdict.rows == 1


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_a_reference_of_one_value(monitor: Monitor, kind: str) -> None:
    """The same value is no change; another one is, to the monitors that alert on it."""
    same, other = {"numeric": (1.0, 2.0), "category": ("a", "b"), "bool": (True, False)}.get(
        kind, ("a", "b")
    )
    column = pa.chunked_array([pa.array([same] * 4_000)])
    binning = Binning((build_column("x", column),))
    parts = [profile(binning, column.slice(i * 100, 100)) for i in range(40)]
    blocks = Blocks(
        DAY,
        START + DAY * np.arange(40),
        np.stack([part.counts for part in parts]),
        np.stack([part.sums for part in parts]),
    )
    known = Reference(binning, profile(binning, column), blocks)
    if not applies_to(monitor, binning.by_name["x"]):
        return
    unchanged = judged(monitor, known, profile(binning, pa.array([same] * 500)))
    assert unchanged.status in ("ok", "not_calibrated")
    changed = judged(monitor, known, profile(binning, pa.array([other] * 500)))
    sees = {
        "numeric": ("unexpected",),
        "category": ("unexpected", "omnibus", "new_value"),
        "bool": ("omnibus",),
        "long tail": ("new_value",),
    }
    if monitor.name in sees[kind]:
        assert changed.status == "alarm"


def test_a_column_that_another_version_lacks_stops_no_other_column() -> None:
    """Version 2 has y instead of x: its own windows are judged, with its own reference."""
    x, y, z = (pa.chunked_array([table("numeric", 4_000, seed)]) for seed in (1, 2, 3))
    old = Binning((build_column("x", x), build_column("z", z)))
    new = Binning((build_column("y", y), build_column("z", z)))
    known = Reference(new, recount(pa.table({"y": y, "z": z}), new))
    judge = Judge(Monitors.model_validate({"windows": ["1 d"]}), known)
    window = Window(DAY, datetime.fromtimestamp(START, UTC))
    own = judge.judge(window, recount(pa.table({"y": y, "z": z}), new))
    assert {verdict.column for verdict in own} == {"y", "z"}
    assert {verdict.status for verdict in own} <= {"ok", "shown", "not_calibrated"}
    others = judge.judge(window, recount(pa.table({"x": x, "z": z}), old))
    assert {verdict.status for verdict in others} == {"broken"}
    assert all("driftline reference set" in verdict.detail for verdict in others)


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_all_missing(monitor: Monitor, kind: str) -> None:
    known = reference(kind)
    current = profile(known.binning, pa.nulls(1_000, table(kind, 1).type))
    expected = {"missing": "alarm", "unexpected": "ok", "new_value": "ok"}
    if kind == "long tail":  # that no text is unseen any more is a change
        expected["unexpected"] = "alarm"
    assert judged(monitor, known, current).status == expected.get(monitor.name, "insufficient")


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_one_value_only(monitor: Monitor, kind: str) -> None:
    known = reference(kind)
    one = table(kind, 1, seed=3)[0].as_py()
    verdict = judged(monitor, known, profile(known.binning, pa.array([one] * 1_000)))
    falls = (monitor.name, kind) == ("unexpected", "long tail")  # no text is unseen any more
    known_value = monitor.family == "quality" and monitor.name != "constant" and not falls
    assert verdict.status == ("ok" if known_value else "alarm")


@pytest.mark.parametrize("monitor", taking("numeric"), ids=lambda monitor: monitor.name)
def test_infinite_and_huge_values(monitor: Monitor) -> None:
    known = reference("numeric")
    values = [math.inf, -math.inf, math.nan, 1e308, -1e308] * 200
    verdict = judged(monitor, known, profile(known.binning, pa.array(values)))
    assert verdict.status in ("alarm", "ok")
    if monitor.name == "unexpected":
        assert verdict.status == "alarm"
        assert verdict.value == 1.0


@pytest.mark.parametrize("monitor", taking("category"), ids=lambda monitor: monitor.name)
def test_unseen_categories(monitor: Monitor) -> None:
    known = reference("category")
    verdict = judged(monitor, known, profile(known.binning, pa.array(["new"] * 1_000)))
    expected = "ok" if monitor.name == "missing" else "alarm"
    assert verdict.status == expected


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_a_reference_of_ten_rows_supports_nothing(monitor: Monitor, kind: str) -> None:
    known = reference(kind, 10, days=0)
    current = profile(known.binning, table(kind, 1_000, seed=1))
    assert judged(monitor, known, current).status in ("not_calibrated", "insufficient")


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_an_empty_reference_supports_nothing(monitor: Monitor, kind: str) -> None:
    known = reference(kind)
    empty = Reference(known.binning, Profile.of(known.binning))
    current = profile(known.binning, table(kind, 1_000, seed=1))
    assert judged(monitor, empty, current).status in ("not_calibrated", "insufficient")


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_without_times_it_is_provisional(monitor: Monitor, kind: str) -> None:
    known = reference(kind, days=0)
    verdict = judged(monitor, known, profile(known.binning, table(kind, 1_000, seed=1)))
    assert verdict.provisional or verdict.status == "not_calibrated"


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_a_fixed_threshold_needs_no_calibration(monitor: Monitor, kind: str) -> None:
    known = reference(kind, days=0)
    current = profile(known.binning, table(kind, 1_000, seed=1))
    check = {monitor.name: {"alert": True, "threshold": 1e9}}
    verdict = judged(monitor, known, current, checks=check)
    assert verdict.status == "ok"
    assert verdict.threshold == 1e9


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_a_window_of_another_binning_is_broken_not_silent(monitor: Monitor, kind: str) -> None:
    known = reference(kind)
    other = Binning((build_column("y", pa.chunked_array([table(kind, 100)])),))
    judge = Judge(Monitors(), known, monitors={monitor.name: monitor})
    window = Window(DAY, datetime.fromtimestamp(START, UTC))
    (verdict,) = judge.judge(window, recount(pa.table({"y": table(kind, 100)}), other))
    assert verdict.status == "broken"
    assert "SchemaError" in verdict.detail


@pytest.mark.parametrize(("monitor", "kind"), PAIRS)
def test_a_sentence_for_people(monitor: Monitor, kind: str) -> None:
    known = reference(kind)
    verdict = judged(monitor, known, profile(known.binning, table(kind, 1_000, seed=1)))
    assert any(character.isdigit() for character in verdict.detail)
    assert "nan" not in verdict.detail
