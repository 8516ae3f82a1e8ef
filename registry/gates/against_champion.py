"""Gates that need no labels: a version's live scores against the champion's on the same events.

An event on which the version failed has no score; it counts as different.
"""

import numpy as np

from driftline.config import AgreementGate, LatencyGate, ScoresGate
from driftline.registry.gates.evidence import Evidence
from driftline.registry.gates.verdict import Verdict, too_few


def agreement(evidence: Evidence, settings: AgreementGate) -> Verdict:
    """The share of events with |candidate - champion| <= tolerance; failures do not agree."""
    pairs = evidence.live
    if (missing := too_few("agreement", len(pairs), settings.min_events)) is not None:
        return missing
    # a slightly larger bound, because 0.4 - 0.3 > 0.1 in floating point
    bound = settings.tolerance * (1 + 1e-9) + 1e-12
    agree = np.abs(pairs.candidate - pairs.champion) <= bound
    share, failed = float(agree.mean()), int(np.isnan(pairs.candidate).sum())
    short = 100 * (settings.min_share - share)
    sentence = (
        f"{share:.2%} of {len(pairs):,} events agree with the champion within "
        f"{settings.tolerance:g}; the minimum is {settings.min_share:.2%}"
        f"{f', missed by {short:.2f} percentage points' if short > 0 else ''}{_failures(failed)}"
    )
    numbers = {
        "events": len(pairs),
        "failed": failed,
        "tolerance": settings.tolerance,
        "standard_error": float(np.sqrt(share * (1 - share) / len(pairs))),
    }
    return Verdict(
        "agreement", share >= settings.min_share, share, settings.min_share, sentence, numbers
    )


def scores(evidence: Evidence, settings: ScoresGate) -> Verdict:
    """The largest change, over all thresholds, of the share of events with a score above it.

    This is the Kolmogorov-Smirnov distance of the two distributions, here on the same events. Two
    versions with equal scores have distance 0 for any number of events, so the limit bounds the
    effect on a user who applies a threshold, not a random error. A failed event counts as moved.
    """
    pairs = evidence.live
    if (missing := too_few("scores", len(pairs), settings.min_events)) is not None:
        return missing
    scored = ~np.isnan(pairs.candidate)
    failed = len(pairs) - int(scored.sum())
    old, new = np.sort(pairs.champion[scored]), np.sort(pairs.candidate[scored])
    thresholds = np.concatenate([old, new])
    change = np.searchsorted(old, thresholds, "right") - np.searchsorted(new, thresholds, "right")
    largest = int(np.abs(change).argmax()) if len(thresholds) else 0
    moved = int(abs(change[largest])) if len(thresholds) else 0
    distance = (moved + failed) / len(pairs)
    threshold = float(thresholds[largest]) if len(thresholds) else float("nan")
    crossed = (pairs.candidate[scored] > threshold).astype(float) - (
        pairs.champion[scored] > threshold
    )
    excess = 100 * (distance - settings.max_distance)
    sentence = (
        f"the share of scores above {threshold:.4g} changes by {100 * distance:.2f} percentage "
        f"points on {len(pairs):,} events; the maximum is {100 * settings.max_distance:.2f}"
        f"{f', exceeded by {excess:.2f}' if excess > 0 else ''}{_failures(failed)}"
    )
    numbers = {
        "events": len(pairs),
        "failed": failed,
        "threshold": threshold,
        "standard_error": float(crossed.std() / np.sqrt(len(crossed))) if len(crossed) else 0.0,
    }
    passed = distance <= settings.max_distance
    return Verdict("scores", passed, distance, settings.max_distance, sentence, numbers)


def latency(evidence: Evidence, settings: LatencyGate) -> Verdict:
    """The 99th percentile of `inference_ms` on the same events, compared with the champion's."""
    pairs = evidence.live
    if (missing := too_few("latency", len(pairs), settings.min_events)) is not None:
        return missing
    new, old = (float(np.quantile(ms, 0.99)) for ms in (pairs.candidate_ms, pairs.champion_ms))
    limit = old * settings.max_ratio
    sentence = (
        f"p99 latency on {len(pairs):,} events is {new:.3g} ms, the champion's is {old:.3g} ms; "
        f"the maximum is {limit:.3g} ms ({settings.max_ratio:g} times the champion's)"
        f"{f', exceeded by {new - limit:.3g} ms' if new > limit else ''}"
    )
    numbers = {"events": len(pairs), "champion_p99_ms": old, "candidate_p99_ms": new}
    return Verdict("latency", new <= limit, new, limit, sentence, numbers)


def _failures(failed: int) -> str:
    return f"; the candidate failed on {failed:,} of them" if failed else ""
