"""Monitors of the stream as a whole."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from driftline import names
from driftline.config.monitors import Check, Objective
from driftline.monitors.stream import (
    latency,
    no_traffic,
    registry_state,
    rejected,
    version_against_version,
    volume,
)
from driftline.monitors.windows.verdict import Verdict
from driftline.profile.binning import Binning, LogBins
from driftline.profile.build import build_column
from driftline.profile.profile import ColumnProfile, Profile
from driftline.profile.recount import recount
from driftline.storage.versions.promotions import Decision, Quarantine, VersionEvent
from tests.statistics.plan import Plan

NOW = datetime(2024, 5, 1, tzinfo=UTC)
OBJECTIVE = Objective(limit=timedelta(milliseconds=50), target=0.99)


def milliseconds(*values: float) -> ColumnProfile:
    binning = Binning((LogBins(names.INFERENCE_MS),))
    table = pa.table({names.INFERENCE_MS: pa.array(values, pa.float64())})
    counted: Profile = recount(table, binning)
    return counted.column(names.INFERENCE_MS)


def test_an_objective_that_is_met() -> None:
    fine = milliseconds(*[5.0] * 990, *[80.0] * 10)
    verdict = latency.judge(OBJECTIVE, fine, fine)
    assert (verdict.status, verdict.column) == ("ok", "inference_ms")
    assert verdict.value == pytest.approx(1.0)


def test_slow_in_both_windows_alarms() -> None:
    slow = milliseconds(*[5.0] * 800, *[80.0] * 200)
    fine = milliseconds(*[5.0] * 1_000)
    assert latency.judge(OBJECTIVE, slow, slow).status == "alarm"
    assert latency.judge(OBJECTIVE, slow, fine).status == "ok"  # it does not matter yet
    assert latency.judge(OBJECTIVE, fine, slow).status == "ok"  # it has ended
    few = milliseconds(5.0, 5.0, 5.0, 80.0)
    assert latency.judge(OBJECTIVE, few, few).status == "ok"  # one slow one of four is chance
    assert latency.judge(OBJECTIVE, milliseconds(), slow).status == "no_data"


AGO = np.arange(28, 0, -1)


def test_volume_follows_its_rhythm() -> None:
    rng = np.random.default_rng(0)
    past = rng.poisson(1_000, 28).astype(float)
    assert volume.judge(1_010, past, AGO, 1e-4).status == "ok"
    for count in (0, 100, 9_000):
        verdict = volume.judge(count, past, AGO, 1e-4)
        assert verdict.status == "alarm"
        assert verdict.effect is not None
        assert (verdict.effect > 0) == (count > 1_000)
    assert volume.judge(0, np.zeros(28), AGO, 1e-4).status == "ok"


def test_a_quiet_day_of_the_week_is_usual() -> None:
    rng = np.random.default_rng(2)
    past = rng.poisson(1_000, 28).astype(float)
    past[AGO % 7 == 0] /= 2
    assert volume.judge(510, past, AGO, 1e-4).status == "ok"
    busy = volume.judge(1_000, past, AGO, 1e-4)  # as on the other days
    assert busy.status == "alarm"
    assert "expected at this time on this day of the week" in busy.detail
    few = volume.judge(1_000, past[-20:], AGO[-20:], 1e-4)  # not yet three weeks
    assert few.status == "ok"
    assert few.expected == pytest.approx(1_000, rel=0.1)


@pytest.mark.parametrize("days", [8, 14, 21, 24, 28])
@pytest.mark.parametrize("quiet", [1.0, 0.4])
def test_volume_alarms_as_seldom_as_it_says(days: int, quiet: float) -> None:
    """Whichever day of the week is judged, when one of them is quiet. Detects twice the level."""
    rng, ago = np.random.default_rng(1), AGO[-days:]

    def alarms() -> Iterator[bool]:
        while True:
            series = np.exp(rng.normal(6, 0.2, days + 1))
            series[(np.append(ago, 0) + rng.integers(7)) % 7 == 0] *= quiet
            yield volume.judge(int(series[-1]), series[:-1], ago, 0.01).status == "alarm"

    # before three weeks are known a quiet day is unusual, except for the spread that it causes
    level = 0.01 if quiet == 1 or days >= 21 else 1 / 7
    assert Plan(level, 2 * level).run(alarms()).passed


def test_rejects() -> None:
    assert rejected.judge(5, 100, 0.05, 1e-4).status == "ok"
    bad = rejected.judge(30, 100, 0.05, 1e-4)
    assert bad.status == "alarm"
    assert "30 of 100 messages were rejected (30.00%; 5.00% allowed)" in bad.detail
    assert rejected.judge(0, 0, 0.05, 1e-4).status == "no_data"
    assert rejected.judge(1, 10, 0.0, 1e-4).status == "alarm"


def test_silence() -> None:
    hour = timedelta(hours=1)
    assert no_traffic.judge(NOW - hour / 2, NOW, hour).status == "ok"
    assert no_traffic.judge(NOW - 2 * hour, NOW, hour).status == "alarm"
    assert no_traffic.judge(None, NOW, hour).status == "no_data"


def test_conditions_of_the_registry() -> None:
    day = timedelta(days=1)
    assert registry_state.judge([], [], [], NOW).status == "ok"
    barred = Quarantine(3, NOW - day, "crash", "it died")
    verdict = registry_state.judge([], [], [barred], NOW)
    assert (verdict.status, verdict.version) == ("alarm", 3)
    ungated = VersionEvent(NOW - day, 4, "champion", "ungated", "w", "")
    assert registry_state.judge([], [ungated], [], NOW).status == "alarm"
    later = Decision(NOW - day / 2, 4, 3, "promoted", "me", None, None)
    assert registry_state.judge([later], [ungated], [], NOW).status == "ok"
    assert registry_state.judge([], [ungated], [barred], NOW + 8 * day).status == "ok"
    for kind in ("gated", "refused"):  # put back, or no more followed
        returned = VersionEvent(NOW - day / 2, 3, "champion", kind, "w", "")
        assert registry_state.judge([], [ungated, returned], [], NOW).status == "ok"
        assert registry_state.judge([], [returned, ungated], [], NOW).status == "alarm"


def scores(mean: float, n: int = 1_000) -> Profile:
    rng = np.random.default_rng(int(mean * 1e6))
    values = pa.chunked_array([pa.array(np.linspace(0, 1, 1_001))])
    binning = Binning((build_column(names.SCORE, values),))
    counted: Profile = recount(pa.table({names.SCORE: rng.normal(mean, 0.05, n)}), binning)
    return counted


def test_two_versions_are_compared_by_their_mean_scores() -> None:
    actual = version_against_version.compare(scores(0.5), scores(0.6), (3, 2))
    assert actual is not None
    assert actual.value == pytest.approx(0.1, abs=0.01)
    assert (actual.version, actual.against, actual.rows) == (3, 2, 1_000)
    assert version_against_version.compare(scores(0.5), scores(0.6, 0), (3, 2)) is None
    other = Profile.of(Binning((build_column(names.SCORE, pa.chunked_array([[0.0, 9.0]])),)))
    assert version_against_version.compare(scores(0.5), other, (3, 2)) is None


def gap(value: float) -> Verdict:
    return Verdict(
        "version_against_version",
        "drift",
        "score",
        "shown",
        1_000,
        value=value,
        version=3,
        against=2,
    )


def test_a_gap_is_judged_by_those_before() -> None:
    rng = np.random.default_rng(3)
    past = [(float(item), 1_000) for item in rng.normal(0.1, 0.01, 300)]
    usual = version_against_version.judge(gap(0.11), past, 1e-3)
    assert usual.status == "ok"
    for value in (0.0, 0.2):
        far = version_against_version.judge(gap(value), past, 1e-3)
        assert far.status == "alarm"
        assert far.threshold is not None
        assert abs(far.threshold - 0.1) < abs(value - 0.1)
        assert far.effect is not None
        assert (far.effect > 0) == (value > 0.1)
    deep = version_against_version.judge(gap(0.2), past, 1e-5)
    assert deep.status == "not_calibrated"
    assert "not attainable" in deep.detail
    shown = version_against_version.judge(gap(0.2), past, 1e-3, Check(alert=False))
    assert (shown.status, shown.alerts) == ("shown", False)
    fixed = Check(threshold=0.15)
    assert version_against_version.judge(gap(-0.2), (), 1e-3, fixed).status == "alarm"
    assert version_against_version.judge(gap(0.1), (), 1e-3, fixed).status == "ok"


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_a_gap_alarms_as_seldom_as_it_says(rho: float) -> None:
    rng = np.random.default_rng(4)
    many, level, alarms = 1_000, 0.01, 0
    for _ in range(many):
        noise = rng.normal(0, 0.01, 61)
        gaps = [noise[0]]
        for step in noise[1:]:
            gaps.append(rho * gaps[-1] + np.sqrt(1 - rho**2) * step)
        past = [(0.1 + item, 1_000) for item in gaps[:-1]]
        actual = version_against_version.judge(gap(0.1 + gaps[-1]), past, level)
        alarms += actual.status == "alarm"
    most = stats.binom.ppf(0.99, many, (1.25 if rho == 0 else 2) * level)
    assert alarms <= most


def test_versions_that_scored_alike_do_not_alarm_for_a_rounding() -> None:
    same = scores(0.5)
    actual = version_against_version.compare(same, same, (3, 2))
    assert actual is not None
    assert actual.low is not None
    assert actual.high is not None
    error = 0.05 * np.sqrt(2 / 1_000)
    assert (actual.low, actual.high) == pytest.approx((-1.96 * error, 1.96 * error), rel=0.05)
    past = [(0.0, 1_000)] * 600

    def moved(by: float) -> Verdict:
        return version_against_version.judge(replace(actual, value=by), past, 1e-3)

    rounding = moved(1e-6)
    assert rounding.status == "ok"
    assert abs(rounding.effect or 0) < 0.01
    assert [moved(0.2 * error).status, moved(error).status] == ["ok", "alarm"]
    assert abs(moved(error).effect or 0) == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("past", [[], [0.0] * 28, [1.0] * 28, [1e15] * 28, [5.0] * 7])
@pytest.mark.parametrize("count", [0, 1, 10**12])
def test_volume_bears_every_past(past: list[float], count: int) -> None:
    ago = np.arange(len(past), 0, -1)
    verdict = volume.judge(count, np.array(past), ago, 1e-3)
    assert verdict.status in ("ok", "alarm", "not_calibrated")
    for number in (verdict.value, verdict.expected, verdict.threshold, verdict.p_value):
        assert number is None or np.isfinite(number)
    assert "nan" not in verdict.detail


@pytest.mark.parametrize("values", [[0.0], [float("inf")] * 50, [float("nan")] * 50, [1e12] * 50])
def test_latency_bears_every_number(values: list[float]) -> None:
    short = milliseconds(*values)
    verdict = latency.judge(OBJECTIVE, short, short)
    assert verdict.status in ("ok", "alarm", "no_data")
    assert verdict.value is None or np.isfinite(verdict.value)
    assert latency.shown(short).status in ("shown", "no_data")


@pytest.mark.parametrize(("bad", "messages"), [(0, 0), (0, 1), (1, 1), (0, 10**9), (10**9, 10**9)])
def test_rejects_bear_every_count(bad: int, messages: int) -> None:
    verdict = rejected.judge(bad, messages, 0.05, 1e-3)
    assert verdict.status == ("no_data" if not messages else "alarm" if bad > 1 else "ok")


def test_versions_side_by_side_bear_constant_scores() -> None:
    past = [(0.0, 100)] * 50
    assert version_against_version.judge(gap(0.0), past, 0.01).status == "ok"
    assert version_against_version.judge(gap(0.1), past, 0.01).status == "alarm"
