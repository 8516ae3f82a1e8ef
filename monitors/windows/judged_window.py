"""A window that was judged just now, and its verdicts as the table holds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Verdict
from driftline.storage.monitoring import verdicts

# in the order of the row; asdict would copy each value
_FIELDS = attrgetter(*(name for name in verdicts.Row._fields if name != "report_id"))


@dataclass(frozen=True)
class JudgedWindow:
    """A window that was judged just now.

    Attributes:
        may_open: its alarms may open an incident: it had not been judged after its lateness.
        revised: it had been judged before.
        pairs: comparisons of versions that scored the same window, not judged yet.
    """

    end: datetime
    length: Length
    rows: int
    may_open: bool
    revised: bool
    verdicts: Sequence[Verdict]
    pairs: Sequence[Verdict] = ()


def row(verdict: Verdict) -> verdicts.Row:
    """A verdict as the table holds it."""
    return verdicts.Row(*_FIELDS(verdict))
