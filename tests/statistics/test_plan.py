"""The errors of the sequential test, as they are said and as they are met."""

from itertools import repeat

import numpy as np
import pytest
from scipy import stats

from tests.statistics.false_alarms import CASES, Case
from tests.statistics.plan import FALSE_FAILURES, MISSES, Plan


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_right_share_seldom_fails_and_a_wrong_one_is_seldom_missed(case: Case) -> None:
    """Detects a case that cannot find what it is for."""
    plan = Plan(case.right, case.wrong)
    assert plan.failing(case.right) <= FALSE_FAILURES
    assert plan.failing(case.wrong) >= 1 - MISSES
    assert plan.failing(case.right * 0.8) < plan.failing(case.right)
    assert plan.replicates(case.right) < plan.most


def test_the_errors_are_those_that_are_met() -> None:
    """At chances in between, where both ends are common; 4,000 runs each."""
    plan, rng = Plan(0.5, 0.8), np.random.default_rng(0)
    for chance in (0.55, 0.65, 0.75):
        hits = rng.random((4_000, plan.most)) < chance
        runs = [plan.run(iter(one.tolist())) for one in hits]
        failed = sum(not run.passed for run in runs)
        low, high = stats.binom.interval(0.999, len(runs), plan.failing(chance))
        assert low <= failed <= high
        mean = np.mean([run.replicates for run in runs])
        assert mean == pytest.approx(plan.replicates(chance), rel=0.05)


def test_it_takes_fewer_replicates_than_a_test_of_a_fixed_number() -> None:
    """The fewest that a binomial test needs for the same errors."""
    right, wrong = 0.5, 0.75
    plan = Plan(right, wrong)
    fixed = next(
        n
        for n in range(10, 1_000)
        if stats.binom.cdf(stats.binom.isf(FALSE_FAILURES, n, right), n, wrong) <= MISSES
    )
    assert plan.replicates(right) < 0.6 * fixed
    assert plan.most < 1.5 * fixed


def test_it_ends_as_soon_as_it_is_clear() -> None:
    plan = Plan(0.3, 0.6)
    assert not plan.run(repeat(True)).passed
    assert plan.run(repeat(True)).replicates < 15
    assert plan.run(repeat(False)).passed
    assert plan.run(repeat(False)).replicates < 15


def test_chances_that_can_not_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="too close"):
        Plan(0.5, 0.501).run(repeat(True))
