"""The sequential detector: its run length without change, and what it finds that no window does."""

import numpy as np
import pytest

from driftline.monitoring import Monitors
from driftline.profile.binning import Floats
from monitors.calibration import budget
from monitors.calibration.judge import Judge
from monitors.calibration.sequential import SOURCE, Sequential
from monitors.catalogue import MONITORS
from tests.statistics.streams import Column, effects, stream

SETTINGS = Monitors.model_validate({"windows": ["1 d"], "false_alarms_per_week": 4.0})
LONG = 200
REPLICATES = 200


def sums(past: Floats, future: Floats, rng: np.random.Generator) -> tuple[Floats, float]:
    """The sums after each window, in limits, and the effect that a window shows at the end."""
    made = stream({"x": Column("normal")}, 2_000, past, future, rng)
    judge = Judge(SETTINGS, made.reference, monitors={SOURCE: MONITORS[SOURCE]})
    shown = [judge.judge(window, profile)[0].effect for window, profile in made.windows]
    shown_effects = np.array([np.nan if one is None else one for one in shown])
    cusum = Sequential(SETTINGS, judge.calibrator).cusum("x")
    assert cusum is not None
    return np.abs(cusum.path(shown_effects)) / cusum.limit, float(shown_effects[-1])


@pytest.mark.parametrize(
    ("tau", "rho"),
    [(0.0, 0.0), (0.3, 0.0), (0.3, 0.5)],
    ids=["independent rows", "independent days", "days like the day before"],
)
def test_run_length(tau: float, rho: float) -> None:
    rng = np.random.default_rng(5)
    alarms = []
    for _ in range(REPLICATES):
        path = effects(90 + LONG, tau, rho, 0, rng)
        over = sums(path[:90], path[90:], rng)[0] >= 1
        alarms.append(int(over[0]) + int((over[1:] & ~over[:-1]).sum()))
    weekly = np.array(alarms) / (LONG / 7)
    bound = weekly.mean() + 1.645 * weekly.std(ddof=1) / np.sqrt(len(weekly))
    allowed = SETTINGS.false_alarms_per_week * budget.SEQUENTIAL
    print(f"{weekly.mean():.3f} false incidents a week, {allowed} are allowed")
    assert bound <= allowed * (1.25 if tau == 0 else 2)


def test_slow_drift_is_found() -> None:
    rng = np.random.default_rng(6)
    tau = 0.1
    path = effects(90 + 60, tau, 0, 0, rng)
    slope = np.linspace(0, 2.5 * tau, 60)  # no day differs from the one before by more than noise
    found, _ = sums(path[:90], path[90:] + slope, rng)
    assert found[-1] >= 1
    assert not (found[:10] >= 1).any()
