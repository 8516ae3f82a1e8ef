"""The colours of states, the same on all dashboards.

Based on Okabe and Ito (2008), whose colours differ for colour-blind readers too: ok is a bluish
green, alarm a vermilion. `tests/unit/dashboards/panels/test_palette.py` measures the distances.
"""

OK = "#009e73"
PENDING = "#e69f00"
ALARM = "#d55e00"
BROKEN = "#a66be0"
NOT_CALIBRATED = "#56b4e9"
NEUTRAL = "#6b7480"

SERVED = "#5794f2"  # observed values, next to expected ones
EXPECTED = "#8a93a6"
