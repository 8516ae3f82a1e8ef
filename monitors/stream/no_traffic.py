"""No traffic: time since the job last committed a message, by the wall clock."""

from datetime import datetime, timedelta

from driftline.monitors.windows.verdict import Verdict

NAME = "no_traffic"


def judge(last: datetime | None, now: datetime, allowed: timedelta) -> Verdict:
    """Judge how long no message has arrived.

    Parameters:
        last: when the last messages were committed; None when none ever were.
        now: by the same clock.
        allowed: a silence that is normal.
    """
    if last is None:
        return Verdict(NAME, "volume", "", "no_data", 0, detail="no messages have ever arrived")
    silent = max(now - last, timedelta(0))
    return Verdict(
        NAME,
        "volume",
        "",
        "alarm" if silent > allowed else "ok",
        0,
        value=silent.total_seconds(),
        threshold=allowed.total_seconds(),
        effect=silent / allowed,
        detail=f"no messages since {last:%Y-%m-%d %H:%M:%S} UTC ({_duration(silent)}; "
        f"at most {_duration(allowed)} allowed)",
    )


def _duration(time: timedelta) -> str:
    return str(timedelta(seconds=int(time.total_seconds())))
