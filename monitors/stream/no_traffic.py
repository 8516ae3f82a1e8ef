"""Nothing arrives: by the real time at which the job committed anything last."""

from datetime import datetime, timedelta

from driftline.monitors.windows.verdict import Verdict

NAME = "no_traffic"


def judge(last: datetime | None, now: datetime, allowed: timedelta) -> Verdict:
    """Judge how long nothing has arrived.

    Args:
        last: when the last messages were committed; None when none ever were.
        now: by the same clock.
        allowed: silence that is usual.
    """
    if last is None:
        return Verdict(NAME, "volume", "", "no_data", 0, detail="nothing has ever arrived")
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
        detail=f"nothing has arrived since {last:%Y-%m-%d %H:%M:%S} UTC ({_words(silent)}; "
        f"{_words(allowed)} are allowed)",
    )


def _words(time: timedelta) -> str:
    return str(timedelta(seconds=int(time.total_seconds())))
