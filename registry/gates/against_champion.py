"""What needs no truth: how a version's live scores differ from the champion's on the same events.

An event that the version failed on has no score; it counts as differing.
"""

import numpy as np

from driftline.config import AgreementGate, LatencyGate, ScoresGate
from driftline.registry.gates.evidence import Evidence
from driftline.registry.gates.verdict import Verdict, too_few


def agreement(evidence: Evidence, settings: AgreementGate) -> Verdict:
    """The share of events on which |candidate - champion| <= tolerance; failures do not agree."""
    pairs = evidence.live
    if (missing := too_few("agreement", len(pairs), settings.events)) is not None:
        return missing
    # a hair of room, for 0.4 - 0.3 is not 0.1 in binary
    room = settings.tolerance * (1 + 1e-9) + 1e-12
    agree = np.abs(pairs.candidate - pairs.champion) <= room
    share, failed = float(agree.mean()), int(np.isnan(pairs.candidate).sum())
    sentence = (
        f"{share:.2%} of {len(pairs):,} events agree within {settings.tolerance:g}, "
        f"{_against(settings.share - share, f'{settings.share:.2%} are needed')}{_failures(failed)}"
    )
    numbers = {
        "events": len(pairs),
        "failed": failed,
        "tolerance": settings.tolerance,
        "standard_error": float(np.sqrt(share * (1 - share) / len(pairs))),
    }
    return Verdict("agreement", share >= settings.share, share, settings.share, sentence, numbers)


def scores(evidence: Evidence, settings: ScoresGate) -> Verdict:
    """The largest change, over all thresholds, of the share of events whose score is above it.

    That is Kolmogorov and Smirnov's distance of the two distributions, here of the same events: two
    versions that say the same have distance 0 at any number of events, so the bound is one on what
    users of a threshold see, not on chance. A failed event is counted as moved.
    """
    pairs = evidence.live
    if (missing := too_few("scores", len(pairs), settings.events)) is not None:
        return missing
    scored = ~np.isnan(pairs.candidate)
    failed = len(pairs) - int(scored.sum())
    old, new = np.sort(pairs.champion[scored]), np.sort(pairs.candidate[scored])
    grid = np.concatenate([old, new])
    above = np.searchsorted(old, grid, side="right") - np.searchsorted(new, grid, side="right")
    at = int(np.abs(above).argmax()) if len(grid) else 0
    moved = int(abs(above[at])) if len(grid) else 0
    distance = (moved + failed) / len(pairs)
    threshold = float(grid[at]) if len(grid) else float("nan")
    changed = (pairs.candidate[scored] > threshold).astype(float) - (
        pairs.champion[scored] > threshold
    )
    sentence = (
        f"the share of {len(pairs):,} events above {threshold:.4g} changes by {distance:.2%}, "
        f"{_against(distance - settings.distance, f'at most {settings.distance:.2%} is allowed')}"
        f"{_failures(failed)}"
    )
    numbers = {
        "events": len(pairs),
        "failed": failed,
        "threshold": threshold,
        "standard_error": float(changed.std() / np.sqrt(max(len(changed), 1)))
        if len(changed)
        else 0.0,
    }
    passed = distance <= settings.distance
    return Verdict("scores", passed, distance, settings.distance, sentence, numbers)


def latency(evidence: Evidence, settings: LatencyGate) -> Verdict:
    """p99 of `inference_ms` over the same events, as a multiple of the champion's."""
    pairs = evidence.live
    if (missing := too_few("latency", len(pairs), settings.events)) is not None:
        return missing
    new, old = (float(np.quantile(ms, 0.99)) for ms in (pairs.candidate_ms, pairs.champion_ms))
    limit = old * settings.factor
    sentence = f"p99 of {len(pairs):,} events is {new:.3g} ms, the champion's {old:.3g} ms, " + (
        f"{new - limit:.3g} ms over the {limit:.3g} ms of factor {settings.factor:g}"
        if new > limit
        else f"{limit:.3g} ms are allowed"
    )
    numbers = {"events": len(pairs), "champion_p99_ms": old, "candidate_p99_ms": new}
    return Verdict("latency", new <= limit, new, limit, sentence, numbers)


def _against(missed: float, bound: str) -> str:
    return f"{bound}: missed by {missed:.2%}" if missed > 0 else bound


def _failures(failed: int) -> str:
    return f"; it failed on {failed:,}" if failed else ""
