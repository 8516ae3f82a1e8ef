"""Changes that must be found: at a significance level of 1e-4, in at least 95 % of windows."""

import numpy as np
import pytest

from driftline.config.monitors import Monitors
from driftline.monitors.calibration.judge import Judge
from tests.statistics.decided import decide
from tests.statistics.false_alarms import ALERTING
from tests.statistics.streams import Change, Column, Stream, effects, stream

LEVEL = 1e-4
WINDOWS = 200
ENOUGH = 0.95 * WINDOWS


def found(made: Stream, level: float = LEVEL, matching: str = "none") -> int:
    """In how many windows any test alarms."""
    settings = Monitors.model_validate({"windows": ["1 d"], "matching": matching})
    judge = Judge(settings, made.reference, monitors=ALERTING)
    judge.__dict__["levels"] = dict.fromkeys(judge.levels, level)
    return int(np.any([one.alarms for one in decide(judge, made.later)], axis=0).sum())


@pytest.mark.parametrize(
    ("column", "rows", "change"),
    [
        pytest.param(Column("normal"), 500, Change(shift=0.5), id="half a sigma"),
        pytest.param(Column("normal"), 20_000, Change(shift=0.1), id="a tenth of a sigma"),
        pytest.param(Column("normal"), 1_000, Change(spread=1.5**0.5), id="variance times 1.5"),
        pytest.param(Column("normal", 0.01), 2_000, Change(missing=0.03), id="1 to 3 % missing"),
        pytest.param(
            Column("category:200"), 2_000, Change(category=0.05), id="10 to 15 %, 200 categories"
        ),
        pytest.param(
            Column("category:20"),
            2_000,
            Change(category=0.05, which=2),
            id="9 to 14 %, 20 categories",
        ),
        pytest.param(
            Column("category:200"),
            2_000,
            Change(category=0.05, which=20),
            id="1 to 6 %, 200 categories",
        ),
    ],
)
def test_independent_rows(column: Column, rows: int, change: Change) -> None:
    """Detects a monitor or a null distribution that has lost so much power that it finds the change
    in less than 95 % of windows."""
    rng = np.random.default_rng(3)
    nothing = np.zeros(400)
    made = stream({"x": column}, rows, nothing, np.zeros(WINDOWS), rng, change=change)
    times = found(made)
    print(f"found in {times} of {WINDOWS} windows")
    assert times >= ENOUGH


def test_what_day_effects_allow() -> None:
    """Five times their size at 1e-3; at a fifth of that, hardly ever. Detects days that are taken
    for more, or for less, alike than they are."""
    rng = np.random.default_rng(4)
    tau, days = 0.2, 180
    for shift, low, high in ((5 * tau, 0.95, 1.0), (tau, 0.0, 0.1)):
        past, future = effects(days, tau, 0, 0, rng), effects(WINDOWS, tau, 0, 0, rng)
        change = Change(shift=shift)
        made = stream({"x": Column("normal")}, 2_000, past, future, rng, change=change)
        share = found(made, 1e-3) / WINDOWS
        print(f"{shift / tau:.0f} times: found in {share:.1%}")
        assert low <= share <= high


def test_matching_finds_what_a_rhythm_hides() -> None:
    """Half the rhythm's height stands out among the same days of the week, not among all. Detects
    windows that are compared with those of other times."""
    rng = np.random.default_rng(8)
    path = effects(280 + WINDOWS, 0.02, 0, 0.5, rng)
    change = Change(shift=0.25)
    made = stream({"x": Column("normal")}, 2_000, path[:280], path[280:], rng, change=change)
    shares = {one: found(made, 1e-3, one) / WINDOWS for one in ("none", "day_of_week")}
    print(shares)
    assert shares["day_of_week"] >= 0.95
    assert shares["none"] <= 0.3
