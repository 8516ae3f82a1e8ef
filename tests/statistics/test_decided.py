"""All windows at once are decided as each is by itself."""

from collections.abc import Mapping

import numpy as np
import pytest

from driftline.config.monitors import Monitors
from driftline.monitors.calibration.judge import Judge
from tests.statistics.decided import decide
from tests.statistics.false_alarms import CATEGORIES, FEW, MIXED, Days
from tests.statistics.streams import Change, Column, stream


@pytest.mark.parametrize(
    ("columns", "days", "settings"),
    [
        pytest.param(MIXED, Days(2_000), {}, id="no effects"),
        pytest.param(MIXED, Days(50), {}, id="few rows"),
        pytest.param(MIXED, Days(100_000, tau=0.3, rho=0.5), {}, id="days that differ"),
        pytest.param(CATEGORIES, Days(5_000), {}, id="texts"),
        pytest.param(FEW, Days(2_000, weekly=0.5), {"matching": "day_of_week"}, id="matching"),
        pytest.param(
            FEW,
            Days(2_000),
            {"checks": {"omnibus": {"threshold": 40.0}, "psi": {"alert": True}}},
            id="thresholds and distances",
        ),
    ],
)
def test_as_one_by_one(
    columns: Mapping[str, Column], days: Days, settings: Mapping[str, object]
) -> None:
    """Detects a difference between `Judge.judge` and what the simulations ask, in any monitor."""
    rng = np.random.default_rng(1)
    made = days.draw(dict(columns), rng)
    judge = Judge(Monitors.model_validate({"windows": ["1 d"], **settings}), made.reference)
    decided = {(one.monitor.name, one.column): one for one in decide(judge, made.later)}
    for at, (window, profile) in enumerate(made.windows):
        verdicts = judge.judge(window, profile)
        assert {(v.monitor, v.column) for v in verdicts} == set(decided)
        for v in verdicts:
            one = decided[v.monitor, v.column]
            assert one.statuses[at] == v.status
            for mine, theirs in ((one.p_values[at], v.p_value), (one.effects[at], v.effect)):
                expected = np.nan if theirs is None else theirs
                # roots are searched for until all of a call are near enough
                assert mine == pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True)


def test_windows_that_cannot_be_tested_are_not() -> None:
    """Some windows without rows, and some with too few."""
    rng = np.random.default_rng(2)
    made = stream(FEW, 2_000, np.zeros(60), np.zeros(9), rng, change=Change(shift=1.0))
    made.later.counts[:3] = 0
    made.later.counts[3:6] //= 100
    judge = Judge(Monitors.model_validate({"windows": ["1 d"]}), made.reference)
    alone = [verdict for pair in made.windows for verdict in judge.judge(*pair)]
    for one in decide(judge, made.later):
        key = one.monitor.name, one.column
        assert list(one.statuses) == [v.status for v in alone if (v.monitor, v.column) == key]
        assert list(one.statuses[:3]) == ["no_data"] * 3
        assert list(one.statuses[3:6]) == ["insufficient"] * 3
