"""Gates of a promotion: pure functions of the evidence; to add one, add a line in `GATES`.

A gate's settings have its name in `driftline.config.Gates`.
"""

from collections.abc import Callable
from typing import Any

from driftline.config import Gates
from driftline.registry.gates import against_champion, against_labels, compatible
from driftline.registry.gates.evidence import Evidence
from driftline.registry.gates.verdict import Verdict

#: By name: evaluates the evidence with the gate's own settings.
GATES: dict[str, Callable[[Evidence, Any], Verdict]] = {
    "signature": compatible.signature,
    "offline": against_labels.offline,
    "agreement": against_champion.agreement,
    "scores": against_champion.scores,
    "latency": against_champion.latency,
    "calibration": against_labels.calibration,
    "performance": against_labels.performance,
}

#: Evaluated even if the config does not mention them.
MANDATORY = frozenset({"signature"})


def configured(gates: Gates) -> list[str]:
    """The names of the gates in the config and the mandatory ones, in the order of `GATES`."""
    return [name for name in GATES if name in MANDATORY or getattr(gates, name) is not None]


def evaluate(evidence: Evidence, gates: Gates, gate_names: list[str]) -> list[Verdict]:
    """One verdict for each of the named gates."""
    return [GATES[name](evidence, getattr(gates, name, None)) for name in gate_names]
