"""The share of messages that were rejected, exactly against the share that may be (binomial)."""

from scipy import stats

from driftline.monitors.windows.verdict import Verdict

NAME = "rejected"


def judge(rejected: int, messages: int, allowed: float, level: float) -> Verdict:
    """Judge the messages that arrived within a while.

    Args:
        rejected: how many became no prediction.
        messages: of how many.
        allowed: the share that may be rejected.
        level: the false-alarm rate when exactly that share is.

    >>> judge(50, 100, 0.05, 1e-4).status, judge(1, 2, 0.05, 1e-4).status
    ('alarm', 'ok')
    """
    if messages == 0:
        return Verdict(NAME, "quality", "", "no_data", 0)
    share = rejected / messages
    p = float(stats.binom.sf(rejected - 1, messages, allowed)) if rejected else 1.0
    threshold = (float(stats.binom.isf(level, messages, allowed)) + 1) / messages
    return Verdict(
        NAME,
        "quality",
        "",
        "alarm" if p <= level else "ok",
        messages,
        value=share,
        expected=allowed,
        threshold=threshold,
        p_value=p,
        level=level,
        effect=float(stats.norm.isf(max(p, 1e-300))),
        detail=f"{rejected:,} of {messages:,} messages were rejected ({share:.2%}, "
        f"{allowed:.2%} are allowed)",
    )
