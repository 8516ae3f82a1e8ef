"""A window that was judged just now, and its verdicts as the table holds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Verdict
from driftline.storage.monitoring import verdicts

# the columns of a row that a verdict has, in order; asdict would copy each value
_FIELDS = attrgetter(*(name for name in verdicts.Row._fields if name != "report_id"))


@dataclass(frozen=True)
class Fresh:
    """A window that was judged just now.

    Attributes:
        may_open: an alarm of it may open an incident: it was not judged after its lateness before.
        revised: it was judged before.
        pairs: versions that scored side by side in it, not judged yet.
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
