"""The colours of states, the same on every page.

After Okabe and Ito (2008), whose colours differ for colour-blind readers too: ok is a bluish green,
alarm a vermilion. `tests/unit/dashboards/test_palette.py` measures how far apart they are.
"""

OK = "#009e73"
PENDING = "#e69f00"
ALARM = "#d55e00"
BROKEN = "#a66be0"
NOT_CALIBRATED = "#56b4e9"
NEUTRAL = "#6b7480"
FAINT = "#5a6270"

SERVED = "#5794f2"  # what is, beside what was expected
EXPECTED = "#8a93a6"
