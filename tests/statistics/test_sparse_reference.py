"""A reference of few rows an hour, such as a sample of traffic, before windows of many.

Hours differ by 0, 0.05 or 0.2 standard deviations of a row, which the few rows of the reference
hardly show. False alarms stay within the budget, twice the budget where hours differ, and a change
is found.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from driftline.config.monitors import Monitors
from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.reference import Blocks, Reference
from driftline.profile.profile import Profile
from tests.statistics.decided import decide
from tests.statistics.false_alarms import ALERTING
from tests.statistics.streams import Change, Column, Stream, draw, stream

COLUMNS = {
    "normal": Column("normal"),
    "heavy": Column("lognormal", 0.1),
    "text": Column("category:20"),
}
HOURS = 14 * 24
SPARSE, LIVE = 21, 300  # rows an hour
HOUR = 3_600
JUDGED = 100
WEEK = 7 * 24


@dataclass(frozen=True)
class Found:
    """Of all hours that were judged, over all replicates: how many had an alarm of each test."""

    hours: int
    alarmed: int
    by_look: dict[tuple[str, str], float]


def sparse(tau: float, rng: np.random.Generator, change: Change | None = None) -> Stream:
    """A reference of sparse hours, and the hours after it."""
    past, later = tau * rng.standard_normal(HOURS), tau * rng.standard_normal(JUDGED)
    few = stream(COLUMNS, SPARSE, past, later, rng, seconds=HOUR)
    binning, starts = few.reference.binning, few.later.starts
    many = draw(binning, COLUMNS, LIVE, later, rng, change=change)
    return Stream(few.reference, Blocks(HOUR, starts, *many))


def judged(tau: float, replicates: int, change: Change | None = None) -> Found:
    settings = Monitors.model_validate({"windows": ["1 h"]})
    by_look: dict[tuple[str, str], list[float]] = {}
    alarmed = 0
    for seed in range(replicates):
        made = sparse(tau, np.random.default_rng(seed), change)
        together = np.zeros(JUDGED, dtype=bool)
        for one in decide(Judge(settings, made.reference, monitors=ALERTING), made.later):
            by_look.setdefault((one.monitor.name, one.column), []).append(one.alarms.mean())
            together |= one.alarms
        alarmed += int(together.sum())
    means = {look: float(np.mean(shares)) for look, shares in by_look.items()}
    return Found(replicates * JUDGED, alarmed, means)


@pytest.mark.parametrize(("tau", "within"), [(0.0, 1.25), (0.05, 2.0), (0.2, 2.0)])
def test_false_alarms(tau: float, within: float) -> None:
    """In 18 weeks; of what is allowed exactly it fails for one seed in a thousand."""
    found = judged(tau, 30)
    allowed = within * found.hours / WEEK
    assert found.alarmed <= stats.poisson.isf(1e-3, allowed)


@pytest.mark.parametrize("tau", [0.0, 0.05])
def test_power(tau: float) -> None:
    """Six tenths of a standard deviation, and missing values in a quarter of the rows."""
    found = judged(tau, 6, Change(shift=0.6, missing=0.25)).by_look
    assert found["location", "normal"] > 0.9
    assert found["omnibus", "normal"] > 0.5
    assert found["missing", "normal"] > 0.99


def test_what_hours_differ_by_is_not_taken_for_a_change() -> None:
    """Hours added up to as many rows as live ones have would differ by a quarter as much."""
    rng = np.random.default_rng(0)
    made = sparse(0.2, rng)
    together = [made.reference.windows(HOUR)]
    assert together[0] is not None
    n = LIVE // SPARSE
    blocks = together[0]
    pooled = Blocks(
        HOUR,
        blocks.starts[::n],
        np.add.reduceat(blocks.counts, np.arange(0, HOURS, n)),
        np.add.reduceat(blocks.sums, np.arange(0, HOURS, n)),
    )
    total = Profile(made.reference.binning, pooled.counts.sum(axis=0), pooled.sums.sum(axis=0))
    settings = Monitors.model_validate({"windows": ["1 h"]})
    wrong = Judge(settings, Reference(made.reference.binning, total, pooled), monitors=ALERTING)
    right = Judge(settings, made.reference, monitors=ALERTING)
    shares = [
        float(np.mean([one.p_values < 1e-3 for one in decide(judge, made.later)]))
        for judge in (wrong, right)
    ]
    assert shares[0] > 10 * max(shares[1], 1e-3)
