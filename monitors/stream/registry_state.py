"""States of the registry that need attention: quarantines, and champions without gates."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from driftline.monitors.windows.verdict import Verdict
from driftline.storage.versions.promotions import Decision, Quarantine, VersionEvent

NAME = "registry"
_RECENT = timedelta(days=7)  # older events are assumed to be known


def judge(
    decisions: Sequence[Decision],
    moves: Sequence[VersionEvent],
    quarantines: Sequence[Quarantine],
    now: datetime,
) -> Verdict:
    """Report what is wrong with the versions of one model.

    Parameters:
        decisions: of its champions, oldest first.
        moves: of its champion alias outside driftline, and back; oldest first.
        quarantines: of its versions, oldest first.
        now: by the wall clock.
    """
    problems = [
        f"version {item.version} was quarantined at {item.quarantined_at:%Y-%m-%d %H:%M} "
        f"({item.reason}): {item.detail}"
        for item in quarantines
        if now - item.quarantined_at < _RECENT
    ]
    for move in moves[-1:]:
        if move.kind != "ungated":  # put back, or no longer served
            continue
        decided = any(d.decided_at > move.happened_at and d.kind != "refused" for d in decisions)
        if not decided and now - move.happened_at < _RECENT:
            problems.append(
                f"version {move.version} became champion without gates at "
                f"{move.happened_at:%Y-%m-%d %H:%M}: promote it with driftline, or roll back"
            )
    return Verdict(
        NAME,
        "registry",
        "",
        "alarm" if problems else "ok",
        0,
        value=float(len(problems)),
        threshold=1.0,
        effect=float(len(problems)),
        detail="; ".join(problems) or "no quarantined version, no champion without gates",
        version=quarantines[-1].version if quarantines else 0,
    )
