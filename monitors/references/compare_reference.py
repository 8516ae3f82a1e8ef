"""Distances of a window, or of another version, from a reference: one row per column."""

from dataclasses import dataclass

from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import applies_to
from driftline.profile.profile import Profile
from driftline.profile.trimmed import trim

#: Distances that are shown, by their monitors.
DISTANCES = ("jensen_shannon", "psi", "wasserstein", "kolmogorov_smirnov")


@dataclass(frozen=True)
class Compared:
    """One column.

    Attributes:
        rows, reference_rows: those with a value.
        mean, reference_mean: None where the column has no numbers.
        missing, reference_missing: shares of all rows.
        distances: by monitor; None where it does not apply to the column.
    """

    column: str
    rows: int
    reference_rows: int
    mean: float | None
    reference_mean: float | None
    missing: float
    reference_missing: float
    distances: dict[str, float | None]


def compare(current: Profile, reference: Profile) -> list[Compared]:
    """Compare the columns whose bins are the same in both."""
    cut = trim(reference.binning).binning
    shared = [bins.name for bins in cut.columns if current.binning.by_name.get(bins.name) == bins]
    return [_column(name, current, reference) for name in shared]


def _column(name: str, current: Profile, reference: Profile) -> Compared:
    now, expected = Counts.of(current, name), Counts.of(reference, name)
    numeric = now.bins.kind == "numeric"
    return Compared(
        name,
        int(now.present[0]),
        int(expected.present[0]),
        float(now.means[0]) if numeric else None,
        float(expected.means[0]) if numeric else None,
        _missing_share(now),
        _missing_share(expected),
        {key: _distance(key, now, expected) for key in DISTANCES if key in MONITORS},
    )


def _distance(key: str, now: Counts, expected: Counts) -> float | None:
    monitor = MONITORS[key]
    if not applies_to(monitor, now.bins) or not now.present[0] or not expected.present[0]:
        return None
    return float(monitor.compare(now, expected).value[0])


def _missing_share(counts: Counts) -> float:
    rows = float(counts.rows[0])
    return float(counts.missing[0]) / rows if rows else 0.0
