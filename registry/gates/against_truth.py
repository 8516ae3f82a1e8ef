"""What needs the truth: metrics on a file, and on live events whose label has come.

All are paired with the champion's on the same events, with the standard error of the difference.
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


def offline(evidence: Evidence, settings: OfflineGate) -> Verdict:
    """The metric of both versions on the same file, no worse than the champion's by a margin."""
    found = evidence.offline
    if found is None or isinstance(found, str):
        return unmeasured("offline", found or "the file was not scored")
    if len(found.label) == 0:
        return unmeasured("offline", f"no row of the file has a label {settings.label!r}")
    return _judged("offline", settings, found.label, found.champion, found.candidate)


def performance(evidence: Evidence, settings: PerformanceGate) -> Verdict:
    """The metric of both versions on live events with labels."""
    pairs = evidence.labelled
    what = "events with labels"
    if (missing := too_few("performance", len(pairs), settings.events, what)) is not None:
        return missing
    return _judged("performance", settings, pairs.label, pairs.champion, pairs.candidate)


def calibration(evidence: Evidence, settings: CalibrationGate) -> Verdict:
    """Expected calibration error on live events with labels; see `metrics.calibration_error`."""
    pairs = evidence.labelled
    what = "events with labels"
    if (missing := too_few("calibration", len(pairs), settings.events, what)) is not None:
        return missing
    if (failed := _failed("calibration", pairs.champion, pairs.candidate)) is not None:
        return failed
    try:
        old, new = (
            calibration_error(pairs.label, score) for score in (pairs.champion, pairs.candidate)
        )
    except NotMeasurableError as error:
        at_fault = _is_measurable(calibration_error, pairs.label, pairs.champion)
        return unmeasured("calibration", str(error), at_fault=at_fault)
    difference = Comparison(old, new, new - old, _resampled(pairs))
    return _held("calibration", "calibration error", settings.margin, difference, len(pairs))


def _judged(
    name: str,
    settings: OfflineGate | PerformanceGate,
    label: Floats,
    champion: Floats,
    candidate: Floats,
) -> Verdict:
    if (failed := _failed(name, champion, candidate)) is not None:
        return failed
    try:
        found = compare(settings.metric, label, champion, candidate)
    except NotMeasurableError as error:
        at_fault = _is_measurable(compare, settings.metric, label, champion, champion)
        return unmeasured(name, str(error), at_fault=at_fault)
    return _held(name, settings.metric, settings.margin, found, len(label))


def _held(name: str, metric: str, margin: float, found: Comparison, n: int) -> Verdict:
    worse, error = found.worse_by, found.standard_error
    passed = worse <= margin * (1 + 1e-9) + 1e-12  # 0.4 - 0.3 is not 0.1 in binary
    how = f"{abs(worse):.4g} {'worse' if worse > 0 else 'better'} (standard error {error:.2g})"
    sentence = (
        f"{metric} on {n:,} events is {found.candidate:.4g}, the champion's {found.champion:.4g}: "
        f"{how}, "
        + (
            f"a margin of {margin:g} is allowed"
            if passed
            else f"over the margin of {margin:g} by {worse - margin:.4g}"
        )
    )
    numbers = {
        "events": n,
        "champion": found.champion,
        "candidate": found.candidate,
        "standard_error": error,
    }
    return Verdict(name, passed, worse, margin, sentence, numbers)


def _failed(name: str, champion: Floats, candidate: Floats) -> Verdict | None:
    """A version cannot be better by failing where it would be wrong."""
    for who, score in (("it", candidate), ("the champion", champion)):
        bad = int((~np.isfinite(score)).sum())
        if bad:
            sentence = f"{who} gave no score for {bad:,} of {len(score):,} events"
            numbers = {"events": len(score), "failed": bad}
            return unmeasured(name, sentence, numbers, at_fault=score is candidate)
    return None


def _is_measurable(measure: Callable[..., object], *what: Any) -> bool:
    """Whether the champion alone has the number, so that the version is why there is none."""
    try:
        measure(*what)
    except NotMeasurableError:
        return False
    return True


def _resampled(pairs: Pairs) -> float:
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
