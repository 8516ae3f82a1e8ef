"""False incidents are as rare as `make simulate` has measured them: not twice as often.

A replicate is an independent reference and stream, so that replicates are independent though the
windows of one are not. Each test asks for replicates until it is clear (`plan`) whether the share
of those with a false incident is what it should be or what doubled levels make of it. How many
incidents a week that are, and that the budget allows them, is measured by `make simulate`.
"""

from collections import Counter

import numpy as np
import pytest

from driftline.config.monitors import Monitors
from driftline.monitors.calibration.judge import Judge
from tests.statistics.decided import decide
from tests.statistics.false_alarms import (
    ALERTING,
    CASES,
    MIXED,
    NORMAL,
    Case,
    Days,
    OfColumns,
    alarm,
)
from tests.statistics.plan import Plan
from tests.statistics.streams import effects, stream

LONG = {"200 columns"}  # minutes; what it finds, the other cases find with fewer columns


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(one, id=one.name, marks=[pytest.mark.long] * (one.name in LONG))
        for one in CASES
    ],
)
def test_false_incidents_are_as_rare_as_measured(case: Case) -> None:
    """Detects levels that are twice as high as the budget says, or a null distribution that makes
    as many replicates alarm, with 99 %. A right one fails for 1 in 1,000 seeds."""
    statuses = Counter[str]()
    found = Plan(case.right, case.wrong).run(alarm(case, statuses))
    print(f"{found.hits} of {found.replicates} replicates have a false incident")
    assert found.passed, found
    # judged, not left out: what is never judged has no false alarms either
    assert statuses["ok"] >= 0.5 * statuses.total()
    assert not statuses["broken"]


def test_a_level_that_the_reference_cannot_support_is_not_judged() -> None:
    """Detects a test that is judged at a level that 40 days can't support."""
    days = Days(5_000, tau=0.5, rho=0.5, known=40, judged=7)
    case = OfColumns(name="", columns=NORMAL, days=days, budget=0.01, right=0.01, wrong=0.02)
    outcomes = [case.incidents(np.random.default_rng(seed)) for seed in range(20)]
    statuses = sum((statuses for _, statuses in outcomes), Counter[str]())
    assert statuses["not_calibrated"] > 0
    assert not any(incidents for incidents, _ in outcomes)


def test_the_test_can_fail() -> None:
    """Thresholds that take rows for independent cry wolf on the same streams."""
    rng = np.random.default_rng(2)
    made = stream(MIXED, 2_000, effects(60, 0.3, 0.5, 0, rng), effects(7, 0.3, 0.5, 0, rng), rng)
    settings = Monitors.model_validate({"windows": ["1 d"], "assumed_variation": 0.0})
    naive = Judge(
        settings,
        type(made.reference)(made.reference.binning, made.reference.total),
        monitors=ALERTING,
    )
    alarms = np.any([one.alarms for one in decide(naive, made.later)], axis=0)
    assert alarms.sum() >= 5
