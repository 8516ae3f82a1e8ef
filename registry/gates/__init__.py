"""Gates of a promotion: pure functions of an evidence record; a new one is a line in `GATES`.

Its settings stand under its own name in `driftline.config.Gates`.
"""

from collections.abc import Callable
from typing import Any

from driftline.config import Gates
from driftline.registry.gates import against_champion, against_truth, compatible
from driftline.registry.gates.evidence import Evidence
from driftline.registry.gates.verdict import Verdict

#: By name: judges the evidence by the gate's own settings.
GATES: dict[str, Callable[[Evidence, Any], Verdict]] = {
    "signature": compatible.signature,
    "offline": against_truth.offline,
    "agreement": against_champion.agreement,
    "scores": against_champion.scores,
    "latency": against_champion.latency,
    "calibration": against_truth.calibration,
    "performance": against_truth.performance,
}

#: Asked whatever the config says.
ALWAYS = frozenset({"signature"})


def asked(gates: Gates) -> list[str]:
    """The gates that the config asks for, in the order of `GATES`."""
    return [name for name in GATES if name in ALWAYS or getattr(gates, name) is not None]


def judge(evidence: Evidence, gates: Gates, which: list[str]) -> list[Verdict]:
    """One verdict for each of the gates that are named."""
    return [GATES[name](evidence, getattr(gates, name, None)) for name in which]
