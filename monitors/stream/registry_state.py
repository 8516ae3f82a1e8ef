"""Conditions of the registry that somebody should look at: quarantines, champions without gates."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from driftline.monitors.windows.verdict import Verdict
from driftline.storage.versions.promotions import Decision, Quarantine, VersionEvent

NAME = "registry"
_RECENT = timedelta(days=7)  # older ones are known by now


def judge(
    decisions: Sequence[Decision],
    moves: Sequence[VersionEvent],
    quarantines: Sequence[Quarantine],
    now: datetime,
) -> Verdict:
    """Say what is wrong with the versions of one model.

    Parameters:
        decisions: of its champions, oldest first.
        moves: of its champion's alias outside driftline, and back; oldest first.
        quarantines: of its versions, oldest first.
        now: the real time.
    """
    found = [
        f"version {one.version} is in quarantine since {one.quarantined_at:%Y-%m-%d %H:%M} "
        f"({one.reason}): {one.detail}"
        for one in quarantines
        if now - one.quarantined_at < _RECENT
    ]
    for one in moves[-1:]:
        if one.kind != "ungated":  # put back, or not followed any more
            continue
        decided = any(d.decided_at > one.happened_at and d.kind != "refused" for d in decisions)
        if not decided and now - one.happened_at < _RECENT:
            found.append(
                f"version {one.version} became champion without gates at "
                f"{one.happened_at:%Y-%m-%d %H:%M}: promote it by driftline, or roll back"
            )
    return Verdict(
        NAME,
        "registry",
        "",
        "alarm" if found else "ok",
        0,
        value=float(len(found)),
        threshold=1.0,
        effect=float(len(found)),
        detail="; ".join(found) or "no quarantine, no champion without gates",
        version=quarantines[-1].version if quarantines else 0,
    )
