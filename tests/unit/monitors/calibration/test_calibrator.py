"""Laws that are found from windows."""

import numpy as np
import pytest
from scipy import stats

from driftline.config.monitors import Monitors
from driftline.monitors.calibration.budget import HypothesisTest
from driftline.monitors.calibration.calibrator import Calibrator, fit, sizes_up_to
from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.null import NullDistribution
from driftline.monitors.calibration.reference import Reference
from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.monitor import Comparison
from driftline.profile.binning import Floats
from tests.statistics.streams import DAY, Column, effects, stream

LOOK = HypothesisTest("location", "x", "", DAY)


def comparison(statistic: Floats, df: float, sign: Floats | None = None) -> Comparison:
    n = len(statistic)
    signs = np.zeros(n) if sign is None else sign
    return Comparison(statistic, np.zeros(n), statistic, np.full(n, df), signs)


def test_independent_rows_are_recognised() -> None:
    rng = np.random.default_rng(0)
    for df in (1, 7, 31):
        null = fit(comparison(rng.chisquare(df, 400), df), 1_000, 400)
        assert null is not None
        assert null.basis == "sampling"
        assert null.scale == pytest.approx(df, rel=0.2)
        assert null.attainable < 1e-6


def test_day_effects_limit_the_level() -> None:
    rng = np.random.default_rng(1)
    z = 5 * rng.standard_normal(90)
    null = fit(comparison(z**2, 1, np.sign(z)), 1_000, 90)
    assert null is not None
    assert null.basis == "windows"
    assert 40 < null.blocks <= 90
    assert null.attainable == pytest.approx(1 / (10 * null.blocks))
    # Student's t, squared
    root = np.sqrt(180.0 / null.scale)
    assert float(null.p_value(180.0)) == pytest.approx(2 * stats.t.sf(root, null.df2))


def test_days_like_the_day_before_are_fewer() -> None:
    rng = np.random.default_rng(2)
    alike = np.repeat(rng.standard_normal(30), 24)  # 720 hours of 30 days
    null = fit(comparison((5 * alike) ** 2, 1, np.sign(alike)), 1_000, 720)
    assert null is not None
    assert null.blocks < 60


def test_a_few_windows_that_stand_out_make_a_heavy_tail() -> None:
    rng = np.random.default_rng(3)
    statistic = rng.chisquare(7, 180)
    statistic[::7] *= 5  # Saturdays
    null = fit(comparison(statistic, 7), 800, 180)
    assert null is not None
    assert float(null.p_value(statistic[::7].mean())) > 0.01


def test_too_few_windows_say_nothing() -> None:
    assert fit(comparison(np.ones(7), 1), 50, 7) is None


@pytest.mark.parametrize("p", [1e-9, 1e-4, 0.3])
def test_thresholds_and_chances_agree(p: float) -> None:
    null = NullDistribution(100, 3.0, 2.5, 40, 40, "windows")
    assert float(null.p_value(null.threshold(p))) == pytest.approx(p, rel=1e-6)
    assert null.threshold(p) == pytest.approx(3 * stats.f.isf(p, 2.5, 40), rel=1e-6)


def test_sizes() -> None:
    assert sizes_up_to(10).tolist() == [10]
    assert sizes_up_to(100).round(1).tolist() == [50, 70.7, 100]


def test_what_windows_differ_by_grows_with_the_rows_of_larger_ones() -> None:
    rng = np.random.default_rng(4)
    simulated = stream(
        {"x": Column("normal")}, 1_000, effects(60, 0.3, 0, 0, rng), np.zeros(1), rng
    )
    calibrator = Calibrator(Monitors(), simulated.reference)
    null = calibrator.null(MONITORS["location"], LOOK, 50_000, 1, 0.01)
    assert null is not None
    assert (null.size, null.basis) == (50_000, "windows")
    assert null.scale == pytest.approx(1 + 50_000 * 0.3**2, rel=0.5)


def test_a_larger_window_is_judged_as_the_largest_that_the_level_is_supported_for() -> None:
    rng = np.random.default_rng(4)
    simulated = stream({"x": Column("normal")}, 100, np.zeros(60), np.zeros(1), rng)
    calibrator = Calibrator(Monitors(assumed_variation=1.0), simulated.reference)
    null = calibrator.null(MONITORS["location"], LOOK, 50_000, 1, 1e-5)
    assert null is not None
    assert 100 < null.size < 1_000
    assert null.basis == "sampling"
    # that they may differ by little, unseen, is in it
    assert null.threshold(1e-5) > 1.2 * stats.chi2.isf(1e-5, 1)


def test_where_little_is_known_what_was_declared_may_say_more() -> None:
    rng = np.random.default_rng(4)
    simulated = stream({"x": Column("normal")}, 10, np.zeros(20), np.zeros(1), rng)
    null = Calibrator(Monitors(), simulated.reference).null(
        MONITORS["location"], LOOK, 5_000, 1, 1e-5
    )
    assert null is not None
    assert (null.size, null.basis) == (5_000, "declared")
    differing = stream({"x": Column("normal")}, 10, effects(20, 1.0, 0, 0, rng), np.zeros(1), rng)
    calibrator = Calibrator(Monitors(), differing.reference)
    surely = calibrator.null(MONITORS["location"], LOOK, 5_000, 1, 1e-2)
    assert surely is not None
    assert surely.basis == "windows"


def test_between_sizes_the_variation_grows_with_the_rows() -> None:
    null = NullDistribution(100, 5.0, 1, 50, 50, "windows", df=1).resized(140, 1)
    assert null.scale == pytest.approx(1 + 4 * 1.4)


def test_a_declared_variation() -> None:
    rng = np.random.default_rng(5)
    simulated = stream({"x": Column("normal")}, 1_000, np.zeros(9), np.zeros(1), rng)
    shuffled = Reference(simulated.reference.binning, simulated.reference.total)
    settings = Monitors(assumed_variation=0.2)
    null = Calibrator(settings, shuffled).null(MONITORS["location"], LOOK, 1_000, 1, 1e-3)
    assert null is not None
    assert null.basis == "declared"
    assert null.scale == pytest.approx(1 + 1_000 * 0.2**2)
    psi = HypothesisTest("psi", "x", "", DAY)
    assert Calibrator(settings, shuffled).null(MONITORS["psi"], psi, 1_000, np.nan, 1e-3) is None
    window, profile = simulated.windows[0]
    assert all(
        verdict.provisional
        for verdict in Judge(settings, shuffled).judge(window, profile)
        if verdict.status == "ok"
    )


@pytest.mark.parametrize("matching", ["hour_of_week", "day_of_week"])
def test_windows_without_others_of_their_time_of_the_week_say_nothing(matching: str) -> None:
    """Eight days: only the hours of one day of the week are in it twice."""
    rng = np.random.default_rng(7)
    past, future = effects(8 * 24, 0.3, 0, 0, rng), effects(500, 0.3, 0, 0, rng)
    simulated = stream({"x": Column("normal")}, 1_000, past, future, rng, seconds=3_600)
    settings = Monitors.model_validate({"windows": ["1 h"], "matching": matching})
    judge = Judge(settings, simulated.reference, monitors={"location": MONITORS["location"]})
    test, level = HypothesisTest("location", "x", "", 3_600), 0.01
    null = judge.calibrator.null(MONITORS["location"], test, 1_000, 1, level)
    assert null is not None
    assert null.blocks <= 48
    variation = judge.calibrator.variation(MONITORS["location"], "x", 3_600)
    assert variation is not None
    assert variation[1] <= 48
    chances = [judge.judge(window, profile)[0].p_value for window, profile in simulated.windows]
    assert np.mean([p is not None and p <= level for p in chances]) <= 2 * level


def test_laws_can_be_remembered() -> None:
    rng = np.random.default_rng(6)
    simulated = stream({"x": Column("normal")}, 1_000, np.zeros(60), np.zeros(1), rng)
    first = Calibrator(Monitors(), simulated.reference)
    null = first.null(MONITORS["location"], LOOK, 800, 1, 1e-3)
    second = Calibrator(Monitors(), simulated.reference)
    second.restore(first.nulls())
    assert second.nulls(first.nulls()) == {}
    assert second.null(MONITORS["location"], LOOK, 800, 1, 1e-3) == null
    other = Calibrator(Monitors(matching="day_of_week"), simulated.reference)
    assert other.digest != first.digest
