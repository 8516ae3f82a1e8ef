"""Levels that sum to the budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from driftline.config import Model
from driftline.config.monitors import MONITOR_NAMES, Monitors
from driftline.monitors.calibration import budget, sequential
from driftline.monitors.calibration.budget import HypothesisTest
from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.stream import realtime_checks, version_against_version
from driftline.profile.binning import Binning, BoolBins, CategoryBins, LogBins, NumericBins

BINNING = Binning(
    (
        NumericBins("x", (0.0, 0.5, 1.0), (1,)),
        CategoryBins("c", ("a", "b"), (), 64),
        BoolBins("b"),
        NumericBins("score", (0.0, 1.0), ()),
        LogBins("lag_ms"),
    )
)
ALERTING = {name for name, monitor in MONITORS.items() if monitor.alerts}


def weekly(settings: Monitors) -> float:
    steps = {window.seconds: window for window in settings.windows}
    levels = budget.significance_levels(settings, BINNING, MONITORS)
    per_week = budget.windows_per_week
    return sum(level * per_week(steps[test.seconds]) for test, level in levels.items())


@given(
    st.floats(0.01, 100),
    st.lists(st.sampled_from(["5 min", "1 h", "1 d"]), min_size=1, unique=True),
    st.lists(st.sampled_from(["c=a", "c=b"]), unique=True),
    st.booleans(),
)
def test_levels_sum_to_the_share_of_columns(
    allowed: float, windows: list[str], segments: list[str], sliding: bool
) -> None:
    lengths: list[object] = list(windows)
    if sliding:
        lengths.append({"length": "2 d", "every": "1 h"})
    settings = Monitors.model_validate(
        {"false_alarms_per_week": allowed, "windows": lengths, "segments": segments}
    )
    assert weekly(settings) == pytest.approx(budget.COLUMNS * allowed)


def test_only_alerting_looks_at_fitting_columns_take_a_share() -> None:
    levels = budget.significance_levels(Monitors(), BINNING, MONITORS)
    assert {test.monitor for test in levels} == ALERTING
    assert {test.column for test in levels} == {"x", "c", "b", "score"}
    assert HypothesisTest("location", "c", "", 3_600) not in levels
    hourly, daily = (levels[HypothesisTest("location", "x", "", s)] for s in (3_600, 86_400))
    assert daily == pytest.approx(24 * hourly)


def test_weights_thresholds_and_what_is_ignored() -> None:
    settings = Monitors.model_validate(
        {
            "windows": ["1 d"],
            "ignore": ["c"],
            "checks": {
                "psi": {"alert": True, "weight": 2},
                "missing": {"threshold": 0.1},
                "constant": {"alert": False},
            },
        }
    )
    levels = budget.significance_levels(settings, BINNING, MONITORS)
    assert weekly(settings) == pytest.approx(budget.COLUMNS)
    assert {test.column for test in levels} == {"x", "b", "score"}
    assert not {test.monitor for test in levels} & {"missing", "constant"}
    psi, omnibus = (levels[HypothesisTest(name, "x", "", 86_400)] for name in ("psi", "omnibus"))
    assert psi == pytest.approx(2 * omnibus)


def test_more_looks_share_the_budget() -> None:
    settings = Monitors.model_validate({"windows": ["1 d"]})
    levels = budget.significance_levels(settings, BINNING, MONITORS, ("multivariate",))
    assert HypothesisTest("multivariate", "", "", 86_400) in levels
    assert sum(levels.values()) * 7 == pytest.approx(budget.COLUMNS)


def test_labels_take_their_share_from_the_columns() -> None:
    settings = Monitors.model_validate({"windows": ["1 h", "1 d"]})
    input_ = {"topic": "e", "event_id": "i", "event_time": "t", "fields": {"x": "float"}}
    section = {"input": input_, "registry": {"name": "m"}, "monitors": settings}
    plain = Model.model_validate(section)
    labelled = Model.model_validate({**section, "labels": {"topic": "truth"}})
    shown = Model.model_validate(
        {**section, "labels": {"topic": "truth"}, "monitors": {"performance": {"alert": False}}}
    )
    assert budget.column_share(plain) == budget.column_share(shown) == budget.COLUMNS
    share = budget.column_share(labelled)
    levels = budget.significance_levels(settings, BINNING, MONITORS, share=share)
    steps = {window.seconds: window for window in settings.windows}
    per_week = budget.windows_per_week
    spent = sum(level * per_week(steps[test.seconds]) for test, level in levels.items())
    # each window is judged once in full, and again while the rest of its labels comes
    spent += sum(2 * budget.performance_level(settings, w) * per_week(w) for w in settings.windows)
    series = sum(budget.stream_level(settings, s) for s in (budget.VOLUME, budget.VERSIONS))
    spent += sum(series * budget.windows_per_week(w) for w in settings.windows)
    spent += realtime_checks.rejects_level(settings) * 7 * 24 * 12  # each five minutes
    assert spent + budget.SEQUENTIAL == pytest.approx(1)


def test_every_monitor_with_a_level_can_be_configured() -> None:
    assert set(MONITOR_NAMES) == {*MONITORS, sequential.NAME, version_against_version.NAME}
    with pytest.raises(ValidationError, match=r"unknown monitor .kolmogorov.*kolmogorov_smirnov"):
        Monitors.model_validate({"checks": {"kolmogorov": {}}})


def test_slow_drift_takes_no_fixed_threshold() -> None:
    with pytest.raises(ValidationError, match="slow_drift takes no threshold: its limit follows"):
        Monitors.model_validate({"checks": {"slow_drift": {"threshold": 5.0}}})
    assert Monitors.model_validate({"checks": {"slow_drift": {"alert": False}}})


@pytest.mark.parametrize("name", [sequential.NAME, version_against_version.NAME])
def test_what_has_a_share_of_its_own_takes_no_weight(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} takes no weight: its share of the budget"):
        Monitors.model_validate({"checks": {name: {"weight": 2.0}}})


def test_columns_can_be_chosen_and_the_score_stays() -> None:
    assert budget.monitored_columns(Monitors(columns=("x",)), BINNING) == ["x", "score"]
