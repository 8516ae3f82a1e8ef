"""Verdicts, their sentences and their ways out."""

import re
from dataclasses import replace

import numpy as np
import pytest

from driftline.config.monitors import Monitors
from driftline.monitors.calibration.calibrator import Calibrator
from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.sequential import Sequential
from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.location import Location
from driftline.monitors.columns.monitor import Comparison
from driftline.monitors.windows.verdict import Verdict
from tests.statistics.streams import Change, Column, Stream, effects, stream


def simulate(change: Change | None = None, tau: float = 0.0, days: int = 60) -> Stream:
    rng = np.random.default_rng(0)
    past = effects(days, tau, 0, 0, rng)
    columns = {"x": Column("normal", 0.1), "c": Column("category:10")}
    return stream(columns, 2_000, past, np.zeros(2), rng, change=change)


def verdicts(simulated: Stream, **settings: object) -> dict[tuple[str, str], Verdict]:
    judge = Judge(Monitors.model_validate({"windows": ["1 d"], **settings}), simulated.reference)
    return {(v.monitor, v.column): v for v in judge.judge(*simulated.windows[0])}


def test_an_alarm_says_what_changed_by_how_much_and_against_what() -> None:
    verdict = verdicts(simulate(Change(shift=0.5)))[("location", "x")]
    assert verdict.status == "alarm"
    assert verdict.value == pytest.approx(11.5, abs=0.2)
    assert verdict.expected == pytest.approx(10, abs=0.1)
    assert verdict.threshold is not None
    assert verdict.expected is not None
    assert verdict.expected < verdict.threshold < 11
    assert verdict.p_value is not None
    assert verdict.level is not None
    assert verdict.p_value < verdict.level
    assert verdict.effect is not None
    assert verdict.effect > 10
    assert re.fullmatch(r"mean rose from \d[\d.]* to 11[\d.]* \(\+0\.\d+ sigma\)", verdict.detail)


def test_the_direction_is_kept() -> None:
    effect = verdicts(simulate(Change(shift=-0.5)))[("location", "x")].effect
    assert effect is not None
    assert effect < -10


def test_only_what_changed_alarms() -> None:
    results = verdicts(simulate(Change(missing=0.2)))
    alarms = {key for key, verdict in results.items() if verdict.status == "alarm"}
    assert {("missing", "x"), ("missing", "c")} == alarms


def test_what_is_ignored_or_not_alerting_is_shown() -> None:
    results = verdicts(
        simulate(Change(shift=0.5)), ignore=["x"], checks={"omnibus": {"alert": False}}
    )
    assert results["location", "x"].status == "shown"
    assert not results["location", "x"].alerts
    assert results["omnibus", "c"].status == "shown"
    assert results["psi", "c"].status == "shown"
    assert results["psi", "c"].p_value is not None


def test_a_distance_can_be_made_to_alarm() -> None:
    results = verdicts(simulate(Change(shift=0.8)), checks={"wasserstein": {"alert": True}})
    assert results["wasserstein", "x"].status in ("alarm", "not_calibrated")


def test_a_level_beyond_the_reference_names_the_way_out() -> None:
    results = verdicts(simulate(Change(shift=3.0), tau=0.4), false_alarms_per_week=0.01)
    verdict = results["location", "x"]
    assert verdict.status == "not_calibrated"
    assert "use longer windows or a longer reference" in verdict.detail
    assert verdict.p_value is not None


def test_slow_drift_adds_up_windows_that_have_a_fixed_threshold() -> None:
    simulated = simulate(Change(shift=0.2))
    checks = {"location": {"threshold": 1_000.0}}
    fixed = verdicts(simulated, checks=checks)["location", "x"]
    assert (fixed.status, fixed.level, fixed.p_value) == ("ok", None, None)
    assert fixed.effect == pytest.approx(verdicts(simulated)["location", "x"].effect, rel=0.1)
    settings = Monitors.model_validate({"windows": ["1 d"], "checks": checks})
    slow = Sequential(settings, Calibrator(settings, simulated.reference))
    assert fixed.effect is not None
    window, effects = simulated.windows[0][0], {"x": np.full(10, fixed.effect)}
    assert slow.judge(window, effects)[0].status == "alarm"
    assert slow.judge(window, {"x": np.full(10, np.nan)})[0].status == "insufficient"


class Broken(Location):
    """Fails at one column."""

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        if current.bins.name == "x":
            raise ZeroDivisionError("by zero")
        return super().compare(current, reference)


def test_a_failing_monitor_is_shown_as_broken_and_stops_no_other() -> None:
    simulated = simulate()
    judge = Judge(
        Monitors.model_validate({"windows": ["1 d"]}),
        simulated.reference,
        monitors={**MONITORS, "location": Broken()},
    )
    results = {(v.monitor, v.column): v for v in judge.judge(*simulated.windows[0])}
    assert results["location", "x"].status == "broken"
    assert "ZeroDivisionError: by zero" in results["location", "x"].detail
    assert results["omnibus", "x"].status == "ok"


def test_huge_counts_are_judged_like_others() -> None:
    simulated = simulate()
    judge = Judge(Monitors.model_validate({"windows": ["1 d"]}), simulated.reference)
    window, profile = simulated.windows[0]
    huge = replace(profile, counts=profile.counts * 10**6, sums=profile.sums * 10**6)
    assert len(judge.judge(window, huge)) == len(judge.judge(window, profile))
