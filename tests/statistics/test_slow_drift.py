"""The sequential detector finds what no window shows; its run length is among `false_alarms`."""

import numpy as np

from tests.statistics.false_alarms import NORMAL, sums
from tests.statistics.streams import effects, stream


def test_slow_drift_is_found() -> None:
    """Detects sums that are not added up, and a limit that is too high, or too low."""
    rng = np.random.default_rng(6)
    tau = 0.1
    path = effects(90 + 60, tau, 0, 0, rng)
    slope = np.linspace(0, 2.5 * tau, 60)  # no day differs from the one before by more than noise
    found = sums(stream(NORMAL, 2_000, path[:90], path[90:] + slope, rng), per_week=4.0)
    assert found[-1] >= 1
    assert not (found[:10] >= 1).any()
