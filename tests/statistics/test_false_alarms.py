"""False incidents a week, by simulation: a replicate is an independent reference and stream.

An incident is a window in which any look of a family alarms. What is allowed is the budget, by a
factor of 1.25 for independent rows and of 2 with day effects; the upper 95 % bound of the mean over
replicates is held to it.
"""

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest

from driftline.monitoring import Monitors
from driftline.profile.binning import Floats
from driftline.profile.profile import Profile
from monitors.calibration.budget import VOLUME
from monitors.calibration.budget import stream as stream_level
from monitors.calibration.judge import Judge
from monitors.calibration.sequential import SOURCE, Sequential
from monitors.catalogue import MONITORS
from monitors.stream import volume
from monitors.verdict import Window
from tests.statistics.streams import DAY, Column, effects, stream

REPLICATES = 200
JUDGED = 14  # days, where many are judged
SEGMENT = "country=de"
ALERTING = {name: monitor for name, monitor in MONITORS.items() if monitor.alerts}

MIXED = {
    "normal": Column("normal"),
    "heavy": Column("lognormal", 0.3),
    "discrete": Column("discrete", 0.6),
    "text": Column("category:20", 0.1),
    "two": Column("category:2"),
}
FEW = {"normal": Column("normal"), "text": Column("category:20", 0.1)}
CATEGORIES = {f"c{k}": Column(f"category:{k}") for k in (2, 50, 1_000)}


def wide(columns: int) -> dict[str, Column]:
    """Many columns of all kinds."""
    kinds = list(MIXED.values())
    return {f"column{i}": kinds[i % len(kinds)] for i in range(columns)}


def false_incidents(
    columns: dict[str, Column],
    rows: int,
    *,
    tau: float = 0.0,
    rho: float = 0.0,
    weekly: float = 0.0,
    days: int = 60,
    judged: int = 7,
    budget: float = 1.0,
    replicates: int = REPLICATES,
    seed: int = 0,
    matching: str = "none",
) -> tuple[Floats, Counter[str]]:
    """False incidents a week after each of many references, and what became of the looks.

    Args:
        days: of each reference.
        judged: days after it that are judged.
    """
    settings = Monitors.model_validate(
        {"windows": ["1 d"], "false_alarms_per_week": budget, "matching": matching}
    )
    rng = np.random.default_rng(seed)
    incidents, statuses = np.zeros(replicates), Counter[str]()
    for replicate in range(replicates):
        path = effects(days + judged, tau, rho, weekly, rng)
        made = stream(columns, rows, path[:days], path[days:], rng)
        judge = Judge(settings, made.reference, monitors=ALERTING)
        for window, profile in made.windows:
            verdicts = judge.judge(window, profile)
            statuses.update(verdict.status for verdict in verdicts)
            incidents[replicate] += len({v.family for v in verdicts if v.status == "alarm"})
    return incidents * 7 / judged, statuses


Alarms = set[tuple[str, str, datetime]]  # family, which windows, the end of one


def all_looks(replicates: int, budget: float, seed: int) -> Floats:
    """False incidents a week of what spends a model's budget at once: columns of all rows and of a
    segment, in windows of a day and of two, slow drift, volume."""
    settings = Monitors.model_validate(
        {"windows": ["1 d", "2 d"], "segments": [SEGMENT], "false_alarms_per_week": budget}
    )
    rng = np.random.default_rng(seed)
    incidents = np.zeros(replicates)
    for replicate in range(replicates):
        found = _of_columns(settings, "", 2_000, rng)
        found |= _of_columns(settings, SEGMENT, 500, rng)
        incidents[replicate] = len(found | _of_volume(settings, rng))
    return incidents * 7 / JUDGED


def _of_columns(settings: Monitors, segment: str, rows: int, rng: np.random.Generator) -> Alarms:
    """Of the columns; of all rows, also of slow drift over the windows of two days."""
    nothing = np.zeros(60)
    made = stream(FEW, rows, nothing, nothing[:JUDGED], rng)
    judge = Judge(settings, made.reference, segment=segment, monitors=ALERTING)
    slow = Sequential(settings, judge.calibrator)
    pairs = zip(made.windows[::2], made.windows[1::2], strict=True)
    found, shown = Alarms(), dict[str, list[float]]()
    for window, profile in (*made.windows, *(_joined(*pair) for pair in pairs)):
        verdicts = judge.judge(window, profile)
        found |= {
            (v.family, str(window.seconds), window.end) for v in verdicts if v.status == "alarm"
        }
        if segment or window.seconds != 2 * DAY:
            continue
        for v in verdicts:
            if v.monitor == SOURCE and v.effect is not None:
                shown.setdefault(v.column, []).append(v.effect)
        said = slow.judge(window, {name: np.array(past) for name, past in shown.items()})
        found |= {("drift", "slow", window.end) for v in said if v.status == "alarm"}
    return found


def _of_volume(settings: Monitors, rng: np.random.Generator) -> Alarms:
    counts = rng.poisson(2_000, volume.DAYS + JUDGED).astype(np.float64)
    ago = np.arange(volume.DAYS, 0, -1)
    level = stream_level(settings, VOLUME)
    return {
        ("volume", str(DAY), datetime.fromtimestamp(day * DAY, UTC))
        for day in range(JUDGED)
        if volume.judge(
            int(counts[day + volume.DAYS]), counts[day : day + volume.DAYS], ago, level
        ).status
        == "alarm"
    }


def _joined(
    first: tuple[Window, Profile], second: tuple[Window, Profile]
) -> tuple[Window, Profile]:
    """Two days as one window."""
    one, two = first[1], second[1]
    whole = Profile(one.binning, one.counts + two.counts, one.sums + two.sums)
    return Window(2 * DAY, second[0].end), whole


def test_all_that_spends_the_budget_at_once() -> None:
    budget = 2.0
    incidents = all_looks(REPLICATES, budget, seed=5)
    print(f"{incidents.mean():.3f} a week of {budget}, at most {upper(incidents):.3f}")
    assert upper(incidents) <= 1.25 * budget


@pytest.mark.parametrize("matching", ["none", "day_of_week"])
def test_a_strong_rhythm(matching: str) -> None:
    """Compared with all days, or with the same day of the week only."""
    budget = 2.0
    incidents, statuses = false_incidents(
        FEW,
        2_000,
        tau=0.1,
        rho=0.3,
        weekly=0.5,
        days=140,
        budget=budget,
        seed=7,
        matching=matching,
    )
    print(f"{incidents.mean():.3f} a week of {budget}, at most {upper(incidents):.3f}")
    assert upper(incidents) <= 2 * budget
    assert statuses["ok"] > 0.5 * statuses.total()


def upper(incidents: Floats) -> float:
    """The upper 95 % bound of the mean; for no incident at all, that of a Poisson law."""
    n = len(incidents)
    if not incidents.any():
        return 3.0 / n
    return float(incidents.mean() + 1.645 * incidents.std(ddof=1) / np.sqrt(n))


@pytest.mark.parametrize(
    ("columns", "rows", "budget"),
    [
        pytest.param({"x": Column("normal")}, 500, 1.0, id="one column"),
        pytest.param(MIXED, 50, 1.0, id="50 rows"),
        pytest.param(MIXED, 2_000, 3.0, id="2,000 rows"),
        pytest.param(MIXED, 1_000_000, 1.0, id="1,000,000 rows"),
        pytest.param(CATEGORIES, 5_000, 1.0, id="2 to 1,000 categories"),
    ],
)
def test_independent_rows(columns: dict[str, Column], rows: int, budget: float) -> None:
    incidents, statuses = false_incidents(columns, rows, budget=budget)
    print(f"{incidents.mean():.3f} a week of {budget}, at most {upper(incidents):.3f}")
    assert upper(incidents) <= 1.25 * budget
    assert statuses["ok"] > 0.5 * statuses.total()  # judged, not left out
    assert not statuses["broken"]


@pytest.mark.timeout(3_600)  # ten minutes on a quiet machine
def test_two_hundred_columns() -> None:
    # days do not depend on each other here: one after each reference says what a week would
    budget = 2.0
    incidents, statuses = false_incidents(wide(200), 2_000, days=30, judged=1, budget=budget)
    print(f"{incidents.mean():.3f} a week of {budget}, at most {upper(incidents):.3f}")
    assert upper(incidents) <= 1.25 * budget
    assert statuses["ok"] > 0.7 * statuses.total()


@pytest.mark.parametrize(
    ("rows", "tau", "rho", "weekly", "days"),
    [
        pytest.param(2_000, 0.3, 0.0, 0.0, 60, id="independent days"),
        pytest.param(2_000, 0.3, 0.5, 0.0, 90, id="days like the day before"),
        pytest.param(2_000, 0.1, 0.5, 0.0, 90, id="small effects"),
        pytest.param(20_000, 0.2, 0.3, 0.2, 90, id="a weekly rhythm"),
    ],
)
def test_day_effects(rows: int, tau: float, rho: float, weekly: float, days: int) -> None:
    budget = 2.0
    incidents, statuses = false_incidents(
        MIXED, rows, tau=tau, rho=rho, weekly=weekly, days=days, budget=budget, seed=1
    )
    print(f"{incidents.mean():.3f} a week of {budget}, at most {upper(incidents):.3f}")
    assert upper(incidents) <= 2 * budget
    assert statuses["ok"] > 0.5 * statuses.total()


def test_a_level_that_the_reference_cannot_support_is_not_judged() -> None:
    incidents, statuses = false_incidents(
        {"x": Column("normal")}, 5_000, tau=0.5, rho=0.5, days=40, budget=0.01, replicates=20
    )
    assert statuses["not_calibrated"] > 0
    assert not incidents.any()


def test_the_test_can_fail() -> None:
    """Thresholds that take rows for independent cry wolf on the same streams."""
    rng = np.random.default_rng(2)
    made = stream(MIXED, 2_000, effects(60, 0.3, 0.5, 0, rng), effects(7, 0.3, 0.5, 0, rng), rng)
    settings = Monitors.model_validate({"windows": ["1 d"], "variation": 0.0})
    naive = Judge(settings, type(made.reference)(made.reference.binning, made.reference.total))
    alarms = [
        any(verdict.status == "alarm" for verdict in naive.judge(window, profile))
        for window, profile in made.windows
    ]
    assert sum(alarms) >= 5
