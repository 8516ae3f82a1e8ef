"""Each gate on evidence made by hand: at its limit, beyond it, with too little, with failures."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from driftline.config import (
    AgreementGate,
    CalibrationGate,
    Gates,
    LatencyGate,
    OfflineGate,
    PerformanceGate,
    ScoresGate,
)
from driftline.registry.gates import GATES, configured, evaluate
from driftline.registry.gates.evidence import Evidence, Offline
from driftline.storage.versions.live_evidence import Pairs

NAN = float("nan")
SETTINGS: dict[str, BaseModel] = {
    "offline": OfflineGate.model_validate({"data": "f", "label": "y", "metric": "mae"}),
    "agreement": AgreementGate(min_events=10),
    "scores": ScoresGate(min_events=10),
    "latency": LatencyGate(min_events=10),
    "calibration": CalibrationGate(min_events=10),
    "performance": PerformanceGate(min_events=10, metric="mae"),
}
LIVE = ["agreement", "scores", "latency"]
LABELLED = ["calibration", "performance"]


def pairs(champion: Any, candidate: Any, label: Any = None, ms: Any = (2.0, 2.0)) -> Pairs:
    champion, candidate = np.asarray(champion, float), np.asarray(candidate, float)
    n = len(champion)
    labels = np.full(n, NAN) if label is None else np.asarray(label, float)
    return Pairs(champion, candidate, np.full(n, ms[0]), np.full(n, ms[1]), labels)


def both(sample: Pairs) -> Evidence:
    """The same events, live and labelled."""
    return Evidence(live=sample, labelled=sample)


@pytest.mark.parametrize("name", [*LIVE, *LABELLED])
def test_too_little_evidence_fails_and_counts(name: str) -> None:
    scores = np.linspace(0.1, 0.9, 412)
    label = np.arange(412) % 2
    enough = SETTINGS[name].model_copy(update={"min_events": 412})
    assert GATES[name](both(pairs(scores, scores, label)), enough).passed
    more = SETTINGS[name].model_copy(update={"min_events": 1_000})
    verdict = GATES[name](both(pairs(scores, scores, label)), more)
    assert not verdict.passed
    assert verdict.sentence.startswith("412 of the required 1,000 events")
    assert (verdict.measured, verdict.limit) == (412, 1_000)
    nothing = GATES[name](Evidence(), SETTINGS[name])
    assert not nothing.passed
    assert nothing.sentence.startswith("0 of the required 10 events")


def test_signature() -> None:
    assert GATES["signature"](Evidence(), None).passed
    verdict = GATES["signature"](Evidence(incompatible="input 'x' is gone"), None)
    assert (verdict.passed, verdict.sentence) == (False, "input 'x' is gone")


def test_agreement_at_its_limit() -> None:
    settings = AgreementGate(min_events=10, tolerance=0.1, min_share=0.9)
    champion = np.full(10, 0.3)
    candidate = np.full(10, 0.4)  # 0.4 - 0.3 is more than 0.1 in binary
    candidate[0] = 0.41
    verdict = GATES["agreement"](both(pairs(champion, candidate)), settings)
    assert (verdict.passed, verdict.measured) == (True, 0.9)
    candidate[1] = 0.41
    verdict = GATES["agreement"](both(pairs(champion, candidate)), settings)
    assert (verdict.passed, verdict.measured) == (False, 0.8)
    assert "the minimum is 90.00%, missed by 10.00 percentage points" in verdict.sentence


@given(st.integers(0, 20))
def test_failed_events_do_not_agree(failed: int) -> None:
    champion = np.linspace(0, 1, 20)
    candidate = champion.copy()
    candidate[:failed] = NAN
    verdict = GATES["agreement"](both(pairs(champion, candidate)), AgreementGate(min_events=10))
    assert verdict.measured == pytest.approx(1 - failed / 20)
    assert verdict.numbers["failed"] == failed
    assert verdict.passed is (failed <= 1)


def test_scores_at_their_limit() -> None:
    settings = ScoresGate(min_events=10, max_distance=0.2)
    champion = np.arange(10) / 10
    candidate = champion.copy()
    candidate[:2] = 5.0  # above every threshold where two more events were below
    verdict = GATES["scores"](both(pairs(champion, candidate)), settings)
    assert (verdict.passed, verdict.measured) == (True, 0.2)
    candidate[2] = 5.0
    verdict = GATES["scores"](both(pairs(champion, candidate)), settings)
    assert not verdict.passed
    assert verdict.measured == pytest.approx(0.3)
    assert "the maximum is 20.00, exceeded by 10.00" in verdict.sentence


@given(st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=60), st.randoms())
def test_the_distance_is_kolmogorovs(champion: list[float], random: Any) -> None:
    candidate = [random.choice(champion) + random.choice([0.0, 0.1, 7.0]) for _ in champion]
    verdict = GATES["scores"](both(pairs(champion, candidate)), ScoresGate(min_events=10))
    old, new = np.asarray(champion), np.asarray(candidate)
    expected = max(
        abs(float((old > at).mean() - (new > at).mean())) for at in np.concatenate([old, new])
    )
    assert verdict.measured == pytest.approx(expected)
    same = GATES["scores"](both(pairs(champion, sorted(champion))), ScoresGate(min_events=10))
    assert same.measured == 0


def test_failed_events_move_the_scores() -> None:
    champion = np.arange(10) / 10
    candidate = champion.copy()
    candidate[:3] = NAN
    verdict = GATES["scores"](
        both(pairs(champion, candidate)), ScoresGate(min_events=10, max_distance=0.2)
    )
    assert (verdict.passed, verdict.measured) == (False, 0.3)
    all_failed = GATES["scores"](
        both(pairs(champion, np.full(10, NAN))), ScoresGate(min_events=10, max_distance=0.5)
    )
    assert (all_failed.passed, all_failed.measured) == (False, 1.0)


def test_latency_at_its_limit() -> None:
    scores = np.zeros(10)
    settings = LatencyGate(min_events=10, max_ratio=1.5)
    at = GATES["latency"](both(pairs(scores, scores, ms=(2.0, 3.0))), settings)
    assert (at.passed, at.measured, at.limit) == (True, 3.0, 3.0)
    over = GATES["latency"](both(pairs(scores, scores, ms=(2.0, 3.25))), settings)
    assert not over.passed
    assert over.sentence == (
        "p99 latency on 10 events is 3.25 ms, the champion's is 2 ms; the maximum is 3 ms (1.5 "
        "times the champion's), exceeded by 0.25 ms"
    )


@pytest.mark.parametrize("name", ["offline", "performance"])
def test_a_metric_at_its_margin(name: str) -> None:
    label = np.zeros(10)
    settings = SETTINGS[name].model_copy(update={"margin": 0.1})

    def ask(error: float) -> Any:
        champion, candidate = np.full(10, 0.3), np.full(10, error)
        evidence = Evidence(
            labelled=pairs(champion, candidate, label),
            offline=Offline(label, champion, candidate),
        )
        return GATES[name](evidence, settings)

    assert ask(0.4).passed
    assert ask(0.2).passed
    missed = ask(0.45)
    assert not missed.passed
    assert missed.measured == pytest.approx(0.15)
    assert "the margin is 0.1, exceeded by 0.05" in missed.sentence
    assert "standard error" in missed.sentence


@pytest.mark.parametrize("name", ["offline", *LABELLED])
@pytest.mark.parametrize("bad", [NAN, float("inf")])
def test_a_version_is_no_better_for_failing(name: str, bad: float) -> None:
    label = np.arange(10) % 2
    candidate = label.astype(float)
    candidate[3] = bad
    evidence = Evidence(
        labelled=pairs(np.full(10, 0.5), candidate, label),
        offline=Offline(label.astype(float), np.full(10, 0.5), candidate),
    )
    verdict = GATES[name](evidence, SETTINGS[name])
    assert not verdict.passed
    assert verdict.sentence == "the candidate has no score for 1 of 10 events"


def test_a_file_that_could_not_be_scored() -> None:
    verdict = GATES["offline"](Evidence(offline="no such file"), SETTINGS["offline"])
    assert (verdict.passed, verdict.sentence) == (False, "no such file")
    empty = Offline(np.empty(0), np.empty(0), np.empty(0))
    assert not GATES["offline"](Evidence(offline=empty), SETTINGS["offline"]).passed


def test_calibration_at_its_margin() -> None:
    label = np.array([0.0, 1.0] * 10)
    right, off = np.full(20, 0.5), np.full(20, 0.6)
    settings = CalibrationGate(min_events=10, margin=0.1)
    at = GATES["calibration"](both(pairs(right, off, label)), settings)
    assert at.passed
    assert at.measured == pytest.approx(0.1)
    over = GATES["calibration"](both(pairs(right, np.full(20, 0.65), label)), settings)
    assert not over.passed
    assert over.measured == pytest.approx(0.15)
    other_labels = GATES["calibration"](both(pairs(right, off, label * 3)), settings)
    assert "needs labels of 0 and 1, but one is 3" in other_labels.sentence
    no_share = GATES["calibration"](both(pairs(right, off * 3, label)), settings)
    assert "needs scores from 0 to 1, but one is 1.8" in no_share.sentence


def test_only_what_is_named_is_asked() -> None:
    assert configured(Gates()) == ["signature"]
    gates = Gates(latency=LatencyGate(min_events=5), agreement=AgreementGate(min_events=5))
    assert configured(gates) == ["signature", "agreement", "latency"]
    verdicts = evaluate(both(pairs(np.zeros(5), np.zeros(5))), gates, configured(gates))
    assert [verdict.name for verdict in verdicts] == ["signature", "agreement", "latency"]
    assert all(verdict.passed for verdict in verdicts)


def test_every_gate_has_settings_of_its_name() -> None:
    sections = {*Gates.model_fields} - {"mode", "evidence_window"}
    assert {*GATES} - {"signature"} == sections == {*SETTINGS}


def test_gates_change_no_evidence() -> None:
    sample = pairs(np.linspace(0.9, 0.1, 50), np.linspace(0.1, 0.9, 50), np.arange(50) % 2)
    copies = {
        field.name: getattr(sample, field.name).copy() for field in dataclasses.fields(sample)
    }
    for name in [*LIVE, *LABELLED]:
        GATES[name](both(sample), SETTINGS[name])
    for name, values in copies.items():
        np.testing.assert_array_equal(getattr(sample, name), values)
