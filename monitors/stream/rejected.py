"""The share of rejected messages, by an exact binomial test against the allowed share."""

from scipy import stats

from driftline.monitors.windows.verdict import Verdict

NAME = "rejected"


def judge(rejected: int, messages: int, allowed: float, level: float) -> Verdict:
    """Judge the messages of a period.

    Parameters:
        rejected: messages that did not become predictions.
        messages: all of them.
        allowed: the share that may be rejected.
        level: significance level, the false-alarm rate at exactly that share.

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
        detail=f"{rejected:,} of {messages:,} messages were rejected ({share:.2%}; "
        f"{allowed:.2%} allowed)",
    )
