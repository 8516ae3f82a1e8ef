"""Two versions on the same window: how differently they score. Shown, never an alarm by default.

The value is the largest difference between the two distributions of scores, over all thresholds
(Kolmogorov-Smirnov on the shared bins); versions with other bins cannot be compared.
"""

import numpy as np

from driftline import names
from driftline.profile.profile import Profile
from monitors.verdict import Status, Verdict

NAME = "version_against_version"


def judge(
    champion: Profile, other: Profile, version: int, role: str, *, alerts: float | None = None
) -> Verdict | None:
    """Compare the scores of another version with the champion's.

    Args:
        champion, other: their profiles of one window.
        version: the other's number.
        role: in which the other one scored.
        alerts: the difference from which on it alarms; None: it is only shown.

    Returns:
        None when their scores have different bins.
    """
    if champion.binning.by_name[names.SCORE] != other.binning.by_name[names.SCORE]:
        return None
    one, two = champion.column(names.SCORE), other.column(names.SCORE)
    n, m = int(one.values.sum()), int(two.values.sum())
    if n == 0 or m == 0:
        return None
    gap = np.cumsum(two.values) / m - np.cumsum(one.values) / n
    place = int(np.abs(gap).argmax())
    distance = float(abs(gap[place]))
    usual = float(np.sqrt((n + m) / (n * m)))
    status: Status = "shown" if alerts is None else ("alarm" if distance > alerts else "ok")
    return Verdict(
        NAME,
        "drift",
        names.SCORE,
        status,
        m,
        alerts=alerts is not None,
        value=distance,
        expected=0.0,
        threshold=alerts,
        effect=float(np.sign(-gap[place]) * distance / usual),
        version=version,
        detail=f"version {version} ({role}) has a mean score of {two.mean():.4g}, the one that "
        f"serves {one.mean():.4g}; at most {distance:.1%} of the scores lie elsewhere",
    )
