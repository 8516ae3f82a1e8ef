"""The time per point of a chart, as Grafana calculates it."""

import re
from datetime import timedelta

# Below the first number, in ms, the interval is the second.
_STEPS = (
    *((10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500)),
    *((1_500, 1_000), (3_500, 2_000), (7_500, 5_000), (12_500, 10_000), (17_500, 15_000)),
    *((25_000, 20_000), (45_000, 30_000), (90_000, 60_000), (210_000, 120_000)),
    *((450_000, 300_000), (750_000, 600_000), (1_050_000, 900_000), (1_500_000, 1_200_000)),
    *((2_700_000, 1_800_000), (5_400_000, 3_600_000), (9_000_000, 7_200_000)),
    *((16_200_000, 10_800_000), (32_400_000, 21_600_000), (86_400_000, 43_200_000)),
    *((604_800_000, 86_400_000), (1_814_400_000, 604_800_000)),
    (3_628_800_000, 2_592_000_000),
)
_YEAR = 31_536_000_000
_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def interval(span: timedelta, points: int, minimum: str | None = None) -> timedelta:
    """The time range divided by the number of points, rounded to a usual unit.

    Parameters:
        points: maximum number of points of the chart.
        minimum: the panel's minimum interval, such as `10m`.

    >>> interval(timedelta(hours=6), 1_000), interval(timedelta(days=270), 60)
    (datetime.timedelta(seconds=20), datetime.timedelta(days=1))
    >>> interval(timedelta(hours=6), 1_000, "1m")
    datetime.timedelta(seconds=60)
    """
    exact = span / timedelta(milliseconds=1) / max(points, 1)
    rounded = next((step for limit, step in _STEPS if exact < limit), _YEAR)
    return timedelta(milliseconds=max(rounded, _milliseconds(minimum)))


def _milliseconds(text: str | None) -> int:
    match = re.fullmatch(r"(\d+)(ms|[smhd])", text or "")
    return int(match[1]) * _UNITS[match[2]] if match else 1
