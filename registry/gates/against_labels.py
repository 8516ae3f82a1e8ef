"""Gates that need labels: metrics on a file, and on live events that have a label.

Each metric is compared with the champion's on the same events, with the standard error of the
difference.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from driftline.config import CalibrationGate, OfflineGate, PerformanceGate
from driftline.registry.gates.evidence import Evidence, Floats
from driftline.registry.gates.metrics import (
    Comparison,
    NotMeasurableError,
    calibration_error,
    compare,
)
from driftline.registry.gates.verdict import Verdict, too_few, unmeasured
from driftline.storage.versions.live_evidence import Pairs

_LABELLED = "events with labels"


def offline(evidence: Evidence, settings: OfflineGate) -> Verdict:
    """The metric on a file: at most a margin worse than the champion's."""
    scored = evidence.offline
    if scored is None or isinstance(scored, str):
        return unmeasured("offline", scored or "the file was not scored")
    if len(scored.label) == 0:
        return unmeasured("offline", f"no row of the file has a label in {settings.label!r}")
    return _compare_metric("offline", settings, scored.label, scored.champion, scored.candidate)


def performance(evidence: Evidence, settings: PerformanceGate) -> Verdict:
    """The metric on live events with labels: at most a margin worse than the champion's."""
    pairs = evidence.labelled
    if (missing := too_few("performance", len(pairs), settings.min_events, _LABELLED)) is not None:
        return missing
    return _compare_metric("performance", settings, pairs.label, pairs.champion, pairs.candidate)


def calibration(evidence: Evidence, settings: CalibrationGate) -> Verdict:
    """Expected calibration error on live events with labels; see `metrics.calibration_error`."""
    pairs = evidence.labelled
    if (missing := too_few("calibration", len(pairs), settings.min_events, _LABELLED)) is not None:
        return missing
    if (failed := _missing_scores("calibration", pairs.champion, pairs.candidate)) is not None:
        return failed
    try:
        old, new = (
            calibration_error(pairs.label, score) for score in (pairs.champion, pairs.candidate)
        )
    except NotMeasurableError as error:
        at_fault = _is_measurable(calibration_error, pairs.label, pairs.champion)
        return unmeasured("calibration", str(error), at_fault=at_fault)
    result = Comparison(old, new, new - old, _bootstrap_error(pairs))
    return _within_margin("calibration", "calibration error", settings.margin, result, len(pairs))


def _compare_metric(
    name: str,
    settings: OfflineGate | PerformanceGate,
    label: Floats,
    champion: Floats,
    candidate: Floats,
) -> Verdict:
    if (failed := _missing_scores(name, champion, candidate)) is not None:
        return failed
    try:
        comparison = compare(settings.metric, label, champion, candidate)
    except NotMeasurableError as error:
        at_fault = _is_measurable(compare, settings.metric, label, champion, champion)
        return unmeasured(name, str(error), at_fault=at_fault)
    return _within_margin(name, settings.metric, settings.margin, comparison, len(label))


def _within_margin(name: str, metric: str, margin: float, pair: Comparison, n: int) -> Verdict:
    worse, error = pair.worse_by, pair.standard_error
    passed = worse <= margin * (1 + 1e-9) + 1e-12  # 0.4 - 0.3 > 0.1 in floating point
    excess = "" if passed else f", exceeded by {worse - margin:.4g}"
    sentence = (
        f"{metric} on {n:,} events is {pair.candidate:.4g}, the champion's is {pair.champion:.4g}: "
        f"{abs(worse):.4g} {'worse' if worse > 0 else 'better'} (standard error {error:.2g}); the "
        f"margin is {margin:g}{excess}"
    )
    numbers = {
        "events": n,
        "champion": pair.champion,
        "candidate": pair.candidate,
        "standard_error": error,
    }
    return Verdict(name, passed, worse, margin, sentence, numbers)


def _missing_scores(name: str, champion: Floats, candidate: Floats) -> Verdict | None:
    """Without this check a version could score better by failing on its difficult events."""
    for version, score in (("the candidate", candidate), ("the champion", champion)):
        failed = int((~np.isfinite(score)).sum())
        if failed:
            sentence = f"{version} has no score for {failed:,} of {len(score):,} events"
            numbers = {"events": len(score), "failed": failed}
            return unmeasured(name, sentence, numbers, at_fault=score is candidate)
    return None


def _is_measurable(measure: Callable[..., object], *arguments: Any) -> bool:
    """Whether the metric exists for the champion alone, so that the candidate is at fault."""
    try:
        measure(*arguments)
    except NotMeasurableError:
        return False
    return True


def _bootstrap_error(pairs: Pairs) -> float:
    """Standard error of the difference, from 50 bootstrap samples of the events."""
    random = np.random.default_rng(0)
    differences = []
    for _ in range(50):
        rows = random.integers(0, len(pairs), len(pairs))
        label = pairs.label[rows]
        differences.append(
            calibration_error(label, pairs.candidate[rows])
            - calibration_error(label, pairs.champion[rows])
        )
    return float(np.std(differences, ddof=1))
