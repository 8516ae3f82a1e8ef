"""What a gate says."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    """One gate's answer.

    Attributes:
        name: of the gate.
        passed: whether it lets the version through.
        measured: the number that was judged; None when it could not be measured.
        limit: the bound that it was held to; None when there is no number to hold.
        sentence: which number missed by how much, or held.
        numbers: everything else that was measured.
        conclusive: false where more events may change it: a failure for want of evidence.
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
    """A failure for want of a number; conclusive where the version itself is why there is none."""
    return Verdict(name, False, None, None, sentence, numbers or {}, conclusive=at_fault)


def too_few(name: str, there: int, wanted: int, what: str = "events") -> Verdict | None:
    """A failure for want of evidence; None when there is enough.

    >>> too_few("agreement", 412, 1000).sentence
    '412 of 1,000 events: more evidence is needed'
    """
    if there >= wanted:
        return None
    sentence = f"{there:,} of {wanted:,} {what}: more evidence is needed"
    return Verdict(name, False, float(there), float(wanted), sentence, conclusive=False)
