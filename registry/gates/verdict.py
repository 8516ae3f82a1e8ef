"""The result of a gate."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    """The result of one gate.

    Attributes:
        name: the gate's name.
        passed: whether the version may be promoted, as far as this gate is concerned.
        measured: the number that was compared with the limit; None if it could not be measured.
        limit: the limit; None if there is nothing to compare.
        sentence: the measured number, the limit, and by how much the version misses it.
        numbers: all other measurements.
        conclusive: false for a failure for lack of evidence, which more events may change.
    """

    name: str
    passed: bool
    measured: float | None
    limit: float | None
    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    conclusive: bool = True


def unmeasured(
    name: str,
    sentence: str,
    numbers: Mapping[str, float] | None = None,
    *,
    at_fault: bool = False,
) -> Verdict:
    """A failure because there is no number; conclusive if the version itself is the reason."""
    return Verdict(name, False, None, None, sentence, numbers or {}, conclusive=at_fault)


def too_few(name: str, available: int, required: int, unit: str = "events") -> Verdict | None:
    """A failure for lack of evidence; None if there is enough.

    >>> too_few("agreement", 412, 1000).sentence
    '412 of the required 1,000 events: run it as challenger or shadow until there are more'
    """
    if available >= required:
        return None
    advice = "run it as challenger or shadow until there are more"
    sentence = f"{available:,} of the required {required:,} {unit}: {advice}"
    return Verdict(name, False, float(available), float(required), sentence, conclusive=False)
