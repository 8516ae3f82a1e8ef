"""Slow drift where all windows overlap."""

from datetime import UTC, datetime

import numpy as np
import pytest

from driftline.config.monitors import Monitors
from driftline.monitors.calibration import budget
from driftline.monitors.calibration.calibrator import Calibrator
from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.sensitivity import sensitivities
from driftline.monitors.calibration.sequential import NAME, Sequential
from driftline.monitors.windows.verdict import Window
from tests.statistics.streams import Column, effects, stream

SLIDING = Monitors.model_validate({"windows": [{"length": "1 d", "every": "1 h"}]})
DAILY = Monitors.model_validate({"windows": ["1 d"]})
WINDOW = Window(86_400, datetime(2026, 3, 1, tzinfo=UTC))


def test_of_sliding_windows_as_many_are_added_up_as_fit_side_by_side() -> None:
    rng = np.random.default_rng(7)
    columns = {"x": Column("normal"), "y": Column("normal")}
    simulated = stream(columns, 2_000, effects(60, 0.2, 0, 0, rng), np.zeros(1), rng)
    sliding, daily = (Sequential(s, Calibrator(s, simulated.reference)) for s in (SLIDING, DAILY))
    assert sliding.length.seconds == 86_400
    assert sliding.per_week == daily.per_week == 7
    assert sliding.level == daily.level
    assert sliding.cusum("x") == daily.cusum("x")
    shown = sensitivities(Judge(SLIDING, simulated.reference), np.array([2_000.0]))
    weekly = sum(sensitivity.per_week for sensitivity in shown if sensitivity.test.monitor == NAME)
    assert weekly == pytest.approx(budget.SEQUENTIAL)


def test_the_sum_that_alarms_is_the_limit() -> None:
    """Of effects that rise slowly, each sum is judged by the limit, no other."""
    rng = np.random.default_rng(8)
    simulated = stream(
        {"x": Column("normal")}, 2_000, effects(60, 0.2, 0, 0, rng), np.zeros(1), rng
    )
    judge = Sequential(DAILY, Calibrator(DAILY, simulated.reference))
    cusum = judge.cusum("x")
    assert cusum is not None
    rising = np.linspace(0.5, 1.5, 60)
    share = np.abs(cusum.path(rising)) / cusum.limit
    judged = [judge.judge(WINDOW, {"x": rising[: n + 1]})[0].status for n in range(60)]
    assert judged == ["alarm" if value >= 1 else "ok" for value in share]
    assert ((share > 1) & (share < 1.5)).any()
