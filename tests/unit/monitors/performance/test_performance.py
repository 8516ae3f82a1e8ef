"""Performance, estimated and realised, against what it is known to be."""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from driftline import names
from driftline.config import Metric
from driftline.monitors.performance import estimated, realised
from driftline.monitors.performance.estimated import Chances, Losses
from driftline.monitors.performance.measured import Measured, NotMeasurableError, measure
from driftline.profile.binning import Binning, Floats, NumericBins
from driftline.profile.build import build
from driftline.profile.profile import ColumnProfile
from driftline.profile.recount import recount
from driftline.storage.monitoring.accepted_levels import AcceptedLevel
from driftline.storage.monitoring.verdicts import PastVerdict

START = datetime(2024, 5, 1, tzinfo=UTC)
MONTH = timedelta(days=28)
WINDOWS = 300


@cache
def binning() -> Binning:
    """Of scores like those that are drawn."""
    score = np.random.default_rng(0).beta(1.2, 4, 20_000)
    columns = build(pa.table({"x": score}), score).columns
    return Binning(tuple(bins for bins in columns if bins.name == names.SCORE))


def score_bins() -> NumericBins:
    bins = binning().by_name[names.SCORE]
    assert isinstance(bins, NumericBins)
    return bins


def profiled(score: Floats) -> ColumnProfile:
    return recount(pa.table({names.SCORE: score}), binning()).column(names.SCORE)


def drawn(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Scores that are exactly the chance of yes, and the truth."""
    score = rng.beta(1.2, 4, n)
    return (rng.random(n) < score).astype(np.float64), score


@pytest.mark.parametrize("metric", ["auc", "brier", "log_loss", "mae", "rmse"])
@pytest.mark.parametrize("learnt", [False, True])
def test_estimates_meet_what_labels_show(metric: Metric, learnt: bool) -> None:
    """At least 90 % of windows lie within the 95 % interval, and no side has many more."""
    rng = np.random.default_rng(1)
    chances = Chances(metric)
    if learnt:
        chances = Chances.of(metric, score_bins(), *drawn(rng, 20_000))
    inside = above = 0
    for _ in range(WINDOWS):
        label, score = drawn(rng, 1_000)
        low, high = chances.estimate(profiled(score)).interval
        real = measure(metric, label, score).value
        inside += low <= real <= high
        above += real > high
    assert inside >= stats.binom.ppf(0.001, WINDOWS, 0.9)
    assert stats.binom.sf(above - 1, WINDOWS, 0.05) > 0.001


def test_estimates_follow_scores_that_say_less() -> None:
    """Scores nearer to one another separate less, and the estimate says by how much."""
    rng = np.random.default_rng(2)
    score = 0.2 + 0.1 * rng.random(50_000)
    label = (rng.random(len(score)) < score).astype(np.float64)
    chances = Chances.of("auc", score_bins(), *drawn(rng, 20_000))
    verdict = estimated.judge(chances, profiled(score), profiled(drawn(rng, 50_000)[1]), 3)
    real = measure("auc", label, score).value
    assert verdict.value == pytest.approx(real, abs=0.02)
    assert verdict.expected == pytest.approx(measure("auc", *drawn(rng, 50_000)).value, abs=0.02)
    assert verdict.value is not None
    assert verdict.expected is not None
    assert verdict.value < verdict.expected - 0.1
    assert (verdict.status, verdict.alerts, verdict.version) == ("shown", False, 3)
    assert "calibrated by 20,000 labels" in verdict.detail


def test_scores_that_are_no_chances_are_calibrated_by_labels() -> None:
    rng = np.random.default_rng(3)
    label, chance = drawn(rng, 20_000)
    score = chance**2  # too low, in the right order
    chances = Chances.of("brier", score_bins(), label, score)
    label, chance = drawn(rng, 20_000)
    column = profiled(chance**2)
    real = measure("brier", label, chance**2).value
    assert chances.estimate(column).value == pytest.approx(real, rel=0.03)
    assert Chances("brier").estimate(column).value < 0.9 * real


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_losses_of_numbers_follow_the_scores(metric: Metric) -> None:
    """Where scores are large, so are the errors; a window of large ones has more of them."""
    rng = np.random.default_rng(4)

    def noisy(n: int, a: float) -> tuple[Floats, Floats]:
        score = rng.beta(1.2 * a, 4, n)
        return score + rng.normal(0, 0.02 + score), score

    losses = Losses.of(metric, score_bins(), *noisy(20_000, 1))
    inside = 0
    for _ in range(WINDOWS):
        label, score = noisy(1_000, 2)
        low, high = losses.estimate(profiled(score)).interval
        inside += low <= measure(metric, label, score).value <= high
    assert inside >= stats.binom.ppf(0.001, WINDOWS, 0.9)


def test_what_can_not_be_estimated() -> None:
    wide = NumericBins(names.SCORE, (-2.0, 0.0, 2.0), (1,))
    column = recount(pa.table({names.SCORE: [-1.0, 1.5]}), Binning((wide,))).column(names.SCORE)
    verdict = estimated.judge(Chances("brier"), column, None, 1)
    assert verdict.status == "insufficient"
    assert "scores outside 0 to 1: no probabilities" in verdict.detail
    rare = estimated.judge(Chances("auc"), profiled(np.full(100, 0.01)), None, 1)
    assert (rare.status, rare.value) == ("insufficient", None)
    assert estimated.judge(Chances("auc"), profiled(np.empty(0)), None, 1).status == "no_data"
    untaught = estimated.judge(Chances("brier"), profiled(np.full(100, 0.3)), None, 1)
    assert "no labels yet, scores are used as probabilities" in untaught.detail


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=60, max_size=200),
    st.sampled_from(["auc", "brier", "log_loss"]),
)
def test_metrics_are_those_of_scikit_learn(rows: list[tuple[bool, int]], metric: Metric) -> None:
    label = np.array([float(yes) for yes, _ in rows])
    score = np.array([n / 20 for _, n in rows])
    try:
        measured = measure(metric, label, score)
    except NotMeasurableError:
        assert metric == "auc"
        assert min(label.sum(), len(label) - label.sum()) < 10
        return
    theirs = {"auc": roc_auc_score, "brier": brier_score_loss, "log_loss": log_loss}[metric]
    more = {"labels": [0, 1]} if metric == "log_loss" else {}
    clipped = np.clip(score, 1e-15, 1 - 1e-15) if metric == "log_loss" else score
    assert measured.value == pytest.approx(
        float(theirs(label, clipped, **more)), rel=1e-6, abs=1e-9
    )


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=300),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["brier", "log_loss", "mae", "rmse"]),
)
def test_estimates_lie_where_metrics_do(scores: list[float], seed: int, metric: Metric) -> None:
    """Whatever was learnt, chances rise with the score and a metric is in its own range."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, 50).astype(np.float64)
    chances = Chances.of(metric, score_bins(), label, rng.random(50))
    assert chances.chance is not None
    assert (np.diff(chances.chance) >= 0).all()
    assert 0 <= chances.chance.min() <= chances.chance.max() <= 1
    measured = chances.estimate(profiled(np.array(scores)))
    assert measured.value >= 0
    assert np.isfinite(measured.error)
    assert measured.rows == len(scores)
    if metric != "log_loss":
        assert measured.value <= 1 + 1e-9


def windows(values: Floats, rows: int = 1_000) -> list[PastVerdict]:
    ends = [START + timedelta(hours=i) for i in range(len(values))]
    return [
        PastVerdict(end, 1, "ok", rows, float(v), None, None)
        for end, v in zip(ends, values, strict=True)
    ]


def auc(value: float, error: float = 0.01, rows: int = 1_000) -> Measured:
    return Measured("auc", value, error, rows)


def test_a_worse_window_alarms_and_a_better_one_does_not() -> None:
    first = windows(np.random.default_rng(5).normal(0.85, 0.01, 300))
    bad, good, usual = (realised.judge(auc(v), first, 1e-3, 1) for v in (0.78, 0.92, 0.845))
    assert [bad.status, good.status, usual.status] == ["alarm", "ok", "ok"]
    assert bad.p_value is not None
    assert bad.p_value < 1e-6
    assert (bad.effect or 0) > 5
    assert bad.expected == pytest.approx(0.85, abs=0.002)
    assert bad.threshold is not None
    assert 0.80 < bad.threshold < 0.83
    error = realised.judge(
        Measured("mae", 0.92, 0.01, 1_000),
        windows(np.random.default_rng(5).normal(0.85, 0.01, 300)),
        1e-3,
        1,
    )
    assert error.status == "alarm"


def test_the_threshold_is_where_it_alarms() -> None:
    first = windows(np.random.default_rng(6).normal(0.85, 0.02, 300))
    limit = realised.judge(auc(0.85), first, 1e-3, 1).threshold
    assert limit is not None
    just, not_yet = (realised.judge(auc(limit + d), first, 1e-3, 1) for d in (-1e-6, 1e-6))
    assert [just.status, not_yet.status] == ["alarm", "ok"]


def test_without_enough_windows_nothing_is_said() -> None:
    few = realised.judge(auc(0.5), windows(np.full(7, 0.85)), 1e-3, 1)
    assert (few.low, few.high) == auc(0.5).interval
    assert few.status == "not_calibrated"
    assert "learning, 7 of 8 windows" in few.detail
    varying = windows(np.random.default_rng(7).normal(0.85, 0.05, 30))
    unsupported = realised.judge(auc(0.5), varying, 1e-3, 1)
    assert unsupported.status == "not_calibrated"
    assert "not attainable, at best" in unsupported.detail


def test_the_baseline_is_what_came_first_without_alarms() -> None:
    past = windows(np.linspace(0.8, 0.9, 24 * 40))
    first = realised.baseline(past, MONTH)
    assert first == past[: 24 * 28 + 1]
    past[3] = past[3]._replace(status="alarm")
    past[4] = past[4]._replace(status="insufficient")
    past[5] = past[5]._replace(value=None)
    assert realised.baseline(past, MONTH)[:4] == [*past[:3], past[6]]
    assert realised.baseline([], MONTH) == []


def test_windows_of_a_week_are_judged_once_there_are_eight() -> None:
    """28 days, the default, hold five of them."""
    rng = np.random.default_rng(7)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    past = [
        window._replace(end=start + timedelta(days=7 * week))
        for week, window in enumerate(windows(rng.normal(0.85, 0.002, 12)))
    ]
    first = realised.baseline(past, timedelta(days=28))
    assert first == past[:8]
    assert realised.judge(auc(0.85), first, 0.05, 1).status == "ok"
    assert realised.judge(auc(0.70), first, 0.05, 1).status == "alarm"


def folded(values: Floats, level: float) -> list[PastVerdict]:
    """Windows that are judged one after another, each by those before it."""
    past: list[PastVerdict] = []
    for window in windows(values):
        assert window.value is not None
        verdict = realised.judge(auc(window.value), realised.baseline(past, MONTH), level, 1)
        past.append(window._replace(status=verdict.status, p_value=verdict.p_value))
    return past


def test_a_change_before_a_window_can_alarm_does_not_become_usual() -> None:
    """Ten windows support no level of one in a thousand, and a worse level begins then."""
    rng = np.random.default_rng(8)
    good, bad = rng.normal(0.85, 0.03, 10), rng.normal(0.55, 0.03, 30)
    past = folded(np.concatenate((good, bad)), 1e-3)
    assert {window.status for window in past} == {"not_calibrated"}
    assert realised.baseline(past, MONTH) == past[:10]
    odd = folded(np.concatenate((good[:3], bad[:1], good[3:])), 1e-3)
    assert odd[3] not in realised.baseline(odd, MONTH)


def test_good_windows_are_learned_from() -> None:
    rng = np.random.default_rng(9)
    learned = [
        len(realised.baseline(folded(rng.normal(0.85, 0.03, 40), 1e-3), MONTH)) for _ in range(20)
    ]
    assert np.mean(learned) > 39.5


def test_a_level_that_was_accepted_is_what_later_windows_are_compared_with() -> None:
    past = windows(np.concatenate((np.full(20, 0.85), np.full(20, 0.75))))
    past[20:30] = [window._replace(status="alarm") for window in past[20:30]]
    level = AcceptedLevel(past[19].end, past[29].end)
    assert realised.baseline(past, MONTH, level) == past[20:]
