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


def made(change: Change | None = None, tau: float = 0.0, days: int = 60) -> Stream:
    rng = np.random.default_rng(0)
    past = effects(days, tau, 0, 0, rng)
    columns = {"x": Column("normal", 0.1), "c": Column("category:10")}
    return stream(columns, 2_000, past, np.zeros(2), rng, change=change)


def verdicts(one: Stream, **settings: object) -> dict[tuple[str, str], Verdict]:
    judge = Judge(Monitors.model_validate({"windows": ["1 d"], **settings}), one.reference)
    return {(v.monitor, v.column): v for v in judge.judge(*one.windows[0])}


def test_an_alarm_says_what_changed_by_how_much_and_against_what() -> None:
    found = verdicts(made(Change(shift=0.5)))[("location", "x")]
    assert found.status == "alarm"
    assert found.value == pytest.approx(11.5, abs=0.2)
    assert found.expected == pytest.approx(10, abs=0.1)
    assert found.threshold is not None
    assert found.expected is not None
    assert found.expected < found.threshold < 11
    assert found.p_value is not None
    assert found.level is not None
    assert found.p_value < found.level
    assert found.effect is not None
    assert found.effect > 10
    assert re.fullmatch(r"mean rose from \d[\d.]* to 11[\d.]* \(\+0\.\d+ sigma\)", found.detail)


def test_the_direction_is_kept() -> None:
    effect = verdicts(made(Change(shift=-0.5)))[("location", "x")].effect
    assert effect is not None
    assert effect < -10


def test_only_what_changed_alarms() -> None:
    found = verdicts(made(Change(missing=0.2)))
    alarms = {key for key, verdict in found.items() if verdict.status == "alarm"}
    assert {("missing", "x"), ("missing", "c")} == alarms


def test_what_is_ignored_or_not_alerting_is_shown() -> None:
    found = verdicts(made(Change(shift=0.5)), ignore=["x"], checks={"omnibus": {"alert": False}})
    assert found["location", "x"].status == "shown"
    assert not found["location", "x"].alerts
    assert found["omnibus", "c"].status == "shown"
    assert found["psi", "c"].status == "shown"
    assert found["psi", "c"].p_value is not None


def test_a_distance_can_be_made_to_alarm() -> None:
    found = verdicts(made(Change(shift=0.8)), checks={"wasserstein": {"alert": True}})
    assert found["wasserstein", "x"].status in ("alarm", "not_calibrated")


def test_a_level_beyond_the_reference_names_the_way_out() -> None:
    found = verdicts(made(Change(shift=3.0), tau=0.4), false_alarms_per_week=0.01)
    verdict = found["location", "x"]
    assert verdict.status == "not_calibrated"
    assert "lengthen the windows, or the reference" in verdict.detail
    assert verdict.p_value is not None


def test_slow_drift_adds_up_windows_that_have_a_fixed_threshold() -> None:
    one = made(Change(shift=0.2))
    checks = {"location": {"threshold": 1_000.0}}
    fixed = verdicts(one, checks=checks)["location", "x"]
    assert (fixed.status, fixed.level, fixed.p_value) == ("ok", None, None)
    assert fixed.effect == pytest.approx(verdicts(one)["location", "x"].effect, rel=0.1)
    settings = Monitors.model_validate({"windows": ["1 d"], "checks": checks})
    slow = Sequential(settings, Calibrator(settings, one.reference))
    assert fixed.effect is not None
    window, effects = one.windows[0][0], {"x": np.full(10, fixed.effect)}
    assert slow.judge(window, effects)[0].status == "alarm"
    assert slow.judge(window, {"x": np.full(10, np.nan)})[0].status == "insufficient"


class Broken(Location):
    """Fails at one column."""

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        if current.bins.name == "x":
            raise ZeroDivisionError("by zero")
        return super().compare(current, reference)


def test_a_failing_monitor_is_shown_as_broken_and_stops_no_other() -> None:
    one = made()
    judge = Judge(
        Monitors.model_validate({"windows": ["1 d"]}),
        one.reference,
        monitors={**MONITORS, "location": Broken()},
    )
    found = {(v.monitor, v.column): v for v in judge.judge(*one.windows[0])}
    assert found["location", "x"].status == "broken"
    assert "ZeroDivisionError: by zero" in found["location", "x"].detail
    assert found["omnibus", "x"].status == "ok"


def test_huge_counts_are_judged_like_others() -> None:
    one = made()
    judge = Judge(Monitors.model_validate({"windows": ["1 d"]}), one.reference)
    window, profile = one.windows[0]
    huge = replace(profile, counts=profile.counts * 10**6, sums=profile.sums * 10**6)
    assert len(judge.judge(window, huge)) == len(judge.judge(window, profile))
