"""Which gates a running canary breaks, on evidence made by hand."""

from typing import Any

import numpy as np
import pytest

from driftline.config import Config
from driftline.registry.gates import canary
from driftline.storage.versions import live_evidence as store
from driftline.storage.versions.live_evidence import NO_PAIRS, Pairs

N = 40
LABEL = np.arange(N) % 2.0
GOOD = np.where(LABEL == 1, 0.9, 0.1)
GATES: dict[str, Any] = {
    "agreement": {"min_events": N, "tolerance": 0.5, "min_share": 0.9},
    "latency": {"min_events": N, "max_ratio": 1.5},
    "performance": {"min_events": N, "metric": "log_loss", "margin": 0.01},
    "calibration": {"min_events": N, "margin": 0.1},
}


def config(gates: dict[str, Any]) -> Config:
    model = {
        "input": {"topic": "t", "event_id": "id", "event_time": "at", "fields": {"x": "float"}},
        "registry": {"name": "m"},
        "labels": {"topic": "l"},
        "gates": gates,
    }
    return Config.model_validate({"models": {"m": model}})


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The names of the gates that break on some evidence, live and with labels."""

    def ask(gates: dict[str, Any], live: Pairs, labelled: Pairs) -> list[str]:
        def pairs(*_: Any, limit: int, labelled: bool, **__: Any) -> Pairs:
            return (all_labelled if labelled else all_live).latest(limit)

        all_live, all_labelled = live, labelled
        monkeypatch.setattr(Config, "local_postgres", lambda _: None)
        monkeypatch.setattr(store, "pairs", pairs)
        return [verdict.name for verdict in canary.failed_gates(config(gates), "m", 1, 2)]

    return ask


def evidence(candidate: Any, champion: Any = GOOD, label: Any = LABEL, ms: float = 2.0) -> Pairs:
    n = len(candidate)
    return Pairs(champion, candidate, np.full(n, 2.0), np.full(n, ms), label)


def test_a_challenger_that_does_well_breaks_none(broken: Any) -> None:
    assert broken(GATES, evidence(GOOD), evidence(GOOD)) == []


@pytest.mark.parametrize("gate", GATES)
def test_each_gate_stops_it(broken: Any, gate: str) -> None:
    worse = evidence(1 - GOOD, ms=4.0)
    assert broken({gate: GATES[gate]}, worse, worse) == [gate]


def test_too_little_evidence_breaks_none(broken: Any) -> None:
    worse = evidence(1 - GOOD, ms=4.0).latest(N - 1)
    assert broken(GATES, worse, worse) == []
    assert broken(GATES, NO_PAIRS, NO_PAIRS) == []


def test_only_the_latest_events_are_judged(broken: Any) -> None:
    """After as many good ones as a gate wants, what was bad before is behind it."""
    candidate, label = np.concatenate([GOOD, 1 - GOOD]), np.tile(LABEL, 2)
    better = evidence(candidate, np.tile(GOOD, 2), label)
    assert broken(GATES, better, better) == []


@pytest.mark.parametrize("bad", [np.nan, 1.5])
def test_a_challenger_that_gives_no_score_to_measure_breaks_what_needs_one(
    broken: Any, bad: float
) -> None:
    candidate = GOOD.copy()
    candidate[0] = bad
    live, labelled = evidence(GOOD), evidence(candidate)
    assert broken(GATES, live, labelled) == ["calibration", "performance"]


def test_what_cannot_be_measured_of_the_champion_either_breaks_none(broken: Any) -> None:
    one_class = evidence(GOOD, label=np.full(N, 0.5))
    assert broken(GATES, evidence(GOOD), one_class) == []
    no_share = evidence(GOOD, champion=GOOD + 1)
    assert broken(GATES, evidence(GOOD), no_share) == []
