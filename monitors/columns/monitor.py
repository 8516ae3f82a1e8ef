"""The contract of a column monitor: compare windows with their references."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from driftline.config.monitors import Family
from driftline.monitors.columns.counts import Counts
from driftline.profile.binning import (
    BoolBins,
    CategoryBins,
    ColumnBins,
    Floats,
    NumericBins,
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """m windows against their references.

    Attributes:
        value: float64[m], in the monitor's own unit; NaN where it cannot be computed.
        expected: float64[m], the same of the reference; NaN where it has no meaning.
        statistic: float64[m], not negative, larger for a larger change. For independent rows
            it is distributed as chi-squared with `df` degrees of freedom.
        df: float64[m]; NaN where no such law is known: then only the reference's own windows say
            what is usual.
        sign: float64[m], the direction of the change, 1 or -1; 0 where it has none.
    """

    value: Floats
    expected: Floats
    statistic: Floats
    df: Floats
    sign: Floats


class Monitor(Protocol):
    """One statistic of one column.

    Attributes:
        name: its key in `MONITORS`.
        family: what kind of trouble an alarm is.
        kinds: the kinds of column that it takes.
        alerts: it may open incidents unless the config says otherwise.
        weight: its share of the budget of its column.
        unit: of its value, for people.
        varies: a variation between windows that is only declared applies to it.
    """

    name: ClassVar[str]
    family: ClassVar[Family]
    kinds: ClassVar[frozenset[str]]
    alerts: ClassVar[bool]
    weight: ClassVar[float]
    unit: ClassVar[str]
    varies: ClassVar[bool]

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        """Compare m windows with m references, or all with one (m = 1)."""
        ...

    def sizes(self, counts: Counts) -> Floats:
        """float64[m], the rows that decide how precise the statistic is."""
        ...

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The value at which the statistic of one window would be so large (upwards)."""
        ...

    def describe(self, current: Counts, reference: Counts) -> str:
        """One sentence with the numbers of one window, for people."""
        ...


@runtime_checkable
class Dispersed(Protocol):
    """A monitor that can tell how much windows differ beyond their rows, however few these are."""

    def dispersion(self, current: Counts, reference: Counts, rows: float) -> tuple[Floats, float]:
        """A sum of squares of m windows against m references.

        Args:
            rows: of the windows that it is to speak of: they decide which cells are compared.

        Returns:
            float64[m], whose mean is the second number where rows are independent, also with one
            row a window; NaN where a window has none. What windows differ by themselves adds to
            it in proportion to their rows.
        """
        ...


# what a column must have for a monitor to be able to alarm; latencies have objectives instead
NUMBER, NUMBERS = "number", "numbers"  # at least one in the reference; at least two
TEXT, TEXTS = "text", "texts"
REMEMBERED = "remembered"  # texts of which all that the reference has are known
HASHED = "hashed"  # texts that share cells by their hash
BOOL = "bool"
ALL = frozenset({NUMBER, TEXT, BOOL})


def takes(monitor: Monitor, bins: ColumnBins) -> bool:
    """Whether a monitor looks at a column: only where something could make it alarm."""
    return not monitor.kinds.isdisjoint(_kinds(bins))


def _kinds(bins: ColumnBins) -> Iterator[str]:
    match bins:
        case NumericBins():
            yield from (NUMBER, NUMBERS) if bins.bins > 1 else (NUMBER,)
        case CategoryBins():
            yield from (TEXT, TEXTS) if len(bins.categories) > 1 else (TEXT,)
            if bins.pooled is not None:
                yield REMEMBERED
            if bins.hashed > 1:
                yield HASHED
        case BoolBins():
            yield BOOL


def number(value: float) -> str:
    """As people read it.

    >>> number(0.00012345), number(1234567.0), number(3.0)
    ('0.0001234', '1,234,567', '3')
    """
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percent(share: float) -> str:
    """A share as people read it.

    >>> percent(0.022), percent(0.9999), percent(0.0)
    ('2.2 %', '99.99 %', '0 %')
    """
    return f"{100 * share:.4g} %"


def moved(before: float, now: float, text: Callable[[float], str] = number) -> str:
    """From where to where a number went.

    >>> moved(0.2, 0.155, percent), moved(3.0, 4.0), moved(1.0, 1.0)
    ('fell from 20 % to 15.5 %', 'rose from 3 to 4', 'stayed at 1')
    """
    old, new = text(before), text(now)
    if old == new:
        return f"stayed at {new}"
    return f"{'rose' if now > before else 'fell'} from {old} to {new}"
