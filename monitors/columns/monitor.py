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
        expected: float64[m], the reference's value; NaN where it is not defined.
        statistic: float64[m], not negative, larger for a larger change. For independent rows
            it is distributed as chi-squared with `df` degrees of freedom.
        df: float64[m]; NaN where no such distribution is known: then the null distribution comes
            only from the reference's own windows.
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
        family: the kind of problem that an alarm indicates.
        kinds: the kinds of column that it applies to.
        alerts: it may open incidents unless configured otherwise.
        weight: its relative share of the budget of its column.
        unit: of its value, for display.
        varies: the assumed variation between windows applies to it.
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
        """float64[m], the rows that determine the precision of the statistic."""
        ...

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The value, above the expected one, at which one window has this statistic."""
        ...

    def describe(self, current: Counts, reference: Counts) -> str:
        """One sentence with the numbers of one window, for people."""
        ...


@runtime_checkable
class Dispersed(Protocol):
    """A monitor whose variation between windows can be estimated from windows with few rows."""

    def dispersion(self, current: Counts, reference: Counts, rows: float) -> tuple[Floats, float]:
        """A sum of squares of m windows against m references.

        Parameters:
            rows: of the windows to extrapolate to; they decide which cells are compared.

        Returns:
            float64[m] and, as second number, its mean for independent rows, which holds even for
            one row per window; NaN for empty windows. The variation between windows adds to the
            mean in proportion to their rows.
        """
        ...


# kinds of column, by what a monitor needs to be able to alarm; latencies have objectives instead
NUMBER, NUMBERS = "number", "numbers"  # at least one distinct value in the reference; at least two
TEXT, TEXTS = "text", "texts"
REMEMBERED = "remembered"  # texts with all distinct values of the reference recorded
HASHED = "hashed"  # texts, some of which share cells by their hash
BOOL = "bool"
ALL = frozenset({NUMBER, TEXT, BOOL})


def applies_to(monitor: Monitor, bins: ColumnBins) -> bool:
    """Whether a monitor tests a column: only where it is able to alarm."""
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
    """A number formatted for people.

    >>> number(0.00012345), number(1234567.0), number(3.0)
    ('0.0001234', '1,234,567', '3')
    """
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percent(share: float) -> str:
    """A share formatted as a percentage.

    >>> percent(0.022), percent(0.9999), percent(0.0)
    ('2.2 %', '99.99 %', '0 %')
    """
    return f"{100 * share:.4g} %"


def moved(old: float, new: float, text: Callable[[float], str] = number) -> str:
    """A phrase for the change of a number.

    >>> moved(0.2, 0.155, percent), moved(3.0, 4.0), moved(1.0, 1.0)
    ('fell from 20 % to 15.5 %', 'rose from 3 to 4', 'stayed at 1')
    """
    old_text, new_text = text(old), text(new)
    if old_text == new_text:
        return f"stayed at {new_text}"
    return f"{'rose' if new > old else 'fell'} from {old_text} to {new_text}"
