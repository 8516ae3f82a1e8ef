"""Monitors of the stream as a whole."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from driftline import names
from driftline.monitoring import Objective
from driftline.profile.binning import Binning, LogBins
from driftline.profile.profile import ColumnProfile, Profile
from driftline.profile.recount import recount
from driftline.storage.promotions import Decision, Quarantine, VersionEvent
from monitors.stream import latency, no_traffic, registry_state, rejected, volume

NOW = datetime(2024, 5, 1, tzinfo=UTC)
OBJECTIVE = Objective(limit=timedelta(milliseconds=50), target=0.99)


def milliseconds(*values: float) -> ColumnProfile:
    binning = Binning((LogBins(names.INFERENCE_MS),))
    table = pa.table({names.INFERENCE_MS: pa.array(values, pa.float64())})
    counted: Profile = recount(table, binning)
    return counted.column(names.INFERENCE_MS)


def test_an_objective_that_is_met() -> None:
    fine = milliseconds(*[5.0] * 990, *[80.0] * 10)
    verdict = latency.judge(OBJECTIVE, fine, fine)
    assert (verdict.status, verdict.column) == ("ok", "inference_ms")
    assert verdict.value == pytest.approx(1.0)


def test_slow_in_both_windows_alarms() -> None:
    slow = milliseconds(*[5.0] * 800, *[80.0] * 200)
    fine = milliseconds(*[5.0] * 1_000)
    assert latency.judge(OBJECTIVE, slow, slow).status == "alarm"
    assert latency.judge(OBJECTIVE, slow, fine).status == "ok"  # it does not matter yet
    assert latency.judge(OBJECTIVE, fine, slow).status == "ok"  # it is over
    few = milliseconds(5.0, 5.0, 5.0, 80.0)
    assert latency.judge(OBJECTIVE, few, few).status == "ok"  # one slow one of four is chance
    assert latency.judge(OBJECTIVE, milliseconds(), slow).status == "no_data"


def test_volume_follows_its_rhythm() -> None:
    rng = np.random.default_rng(0)
    past = rng.poisson(1_000, 28).astype(float)
    assert volume.judge(1_010, past, 1e-4).status == "ok"
    for count in (0, 100, 9_000):
        verdict = volume.judge(count, past, 1e-4)
        assert verdict.status == "alarm"
        assert verdict.effect is not None
        assert (verdict.effect > 0) == (count > 1_000)
    assert volume.judge(0, np.zeros(28), 1e-4).status == "ok"


def test_volume_alarms_as_seldom_as_it_says() -> None:
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(2_000):
        series = np.exp(rng.normal(6, 0.3, 29))
        alarms += volume.judge(int(series[-1]), series[:-1], 0.01).status == "alarm"
    assert alarms / 2_000 <= 0.015


def test_rejects() -> None:
    assert rejected.judge(5, 100, 0.05, 1e-4).status == "ok"
    bad = rejected.judge(30, 100, 0.05, 1e-4)
    assert bad.status == "alarm"
    assert "30 of 100 messages were rejected (30.00%, 5.00% are allowed)" in bad.detail
    assert rejected.judge(0, 0, 0.05, 1e-4).status == "no_data"
    assert rejected.judge(1, 10, 0.0, 1e-4).status == "alarm"


def test_silence() -> None:
    hour = timedelta(hours=1)
    assert no_traffic.judge(NOW - hour / 2, NOW, hour).status == "ok"
    assert no_traffic.judge(NOW - 2 * hour, NOW, hour).status == "alarm"
    assert no_traffic.judge(None, NOW, hour).status == "no_data"


def test_conditions_of_the_registry() -> None:
    day = timedelta(days=1)
    assert registry_state.judge([], [], [], NOW).status == "ok"
    barred = Quarantine(3, NOW - day, "crash", "it died")
    verdict = registry_state.judge([], [], [barred], NOW)
    assert (verdict.status, verdict.version) == ("alarm", 3)
    ungated = VersionEvent(NOW - day, 4, "champion", "ungated", "w", "")
    assert registry_state.judge([], [ungated], [], NOW).status == "alarm"
    later = Decision(NOW - day / 2, 4, 3, "promoted", "me", None, None)
    assert registry_state.judge([later], [ungated], [], NOW).status == "ok"
    assert registry_state.judge([], [ungated], [barred], NOW + 8 * day).status == "ok"
