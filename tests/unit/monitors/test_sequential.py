"""Slow drift where all windows overlap."""

import numpy as np
import pytest

from driftline.monitoring import Monitors
from monitors.calibration import budget
from monitors.calibration.calibrator import Calibrator
from monitors.calibration.judge import Judge
from monitors.calibration.sequential import NAME, Sequential
from monitors.calibration.support import supports
from tests.statistics.streams import Column, effects, stream

SLIDING = Monitors.model_validate({"windows": [{"length": "1 d", "every": "1 h"}]})
DAILY = Monitors.model_validate({"windows": ["1 d"]})


def test_of_sliding_windows_as_many_are_added_up_as_fit_side_by_side() -> None:
    rng = np.random.default_rng(7)
    columns = {"x": Column("normal"), "y": Column("normal")}
    made = stream(columns, 2_000, effects(60, 0.2, 0, 0, rng), np.zeros(1), rng)
    sliding, daily = (Sequential(s, Calibrator(s, made.reference)) for s in (SLIDING, DAILY))
    assert sliding.length.seconds == 86_400
    assert sliding.per_week == daily.per_week == 7
    assert sliding.level == daily.level
    assert sliding.cusum("x") == daily.cusum("x")
    shown = supports(Judge(SLIDING, made.reference), np.array([2_000.0]))
    weekly = sum(one.per_week for one in shown if one.look.monitor == NAME)
    assert weekly == pytest.approx(budget.SEQUENTIAL)
