"""How often realised performance alarms when nothing has changed."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy import stats

from driftline.config import Metric
from driftline.monitors.performance import realised
from driftline.monitors.performance.measured import Measured, measure
from driftline.storage.monitoring.verdicts import PastVerdict

START = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize("metric", ["auc", "brier", "rmse"])
@pytest.mark.parametrize("day", [0.0, 0.15])
@pytest.mark.parametrize("labels", [150, 1_000])
def test_false_alarms_are_as_rare_as_said(metric: Metric, day: float, labels: int) -> None:
    """Real scores and labels, with windows that differ by themselves; many baselines."""
    rng = np.random.default_rng(8)
    level, alarms, tests = 0.01, 0, 0
    for _ in range(60):
        values: list[Measured] = []
        for _ in range(150):
            noise = np.exp(rng.normal(0, day))
            truth = rng.normal(0, 1, labels)
            score = 1 / (1 + np.exp(-(truth + noise * rng.normal(0, 1, labels))))
            label = (truth > 0.5).astype(np.float64)
            values.append(measure(metric, label, score))
        past = [
            PastVerdict(START + timedelta(hours=i), 1, "ok", labels, one.value, None, None)
            for i, one in enumerate(values)
        ]
        for one in values[110:]:
            verdict = realised.judge(one, past[:110], level, 1)
            alarms += verdict.status == "alarm"
            tests += verdict.status in ("alarm", "ok")
    assert tests > 1_500
    # baselines are shared by 40 windows each, so alarms cluster: twice the nominal rate at most
    assert alarms <= stats.binom.ppf(0.999, tests, 2 * level)
