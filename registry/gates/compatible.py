"""The gate that needs no events: whether a version can serve the live features at all."""

from driftline.registry.gates.evidence import Evidence
from driftline.registry.gates.verdict import Verdict, unmeasured


def signature(evidence: Evidence, _: None = None) -> Verdict:
    """The version loads, and each of its inputs has a live feature column of a suitable type."""
    if evidence.incompatible is not None:
        return unmeasured("signature", evidence.incompatible, at_fault=True)
    return Verdict("signature", True, None, None, "it loads, and the live features fit its inputs")
