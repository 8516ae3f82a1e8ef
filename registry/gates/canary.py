"""Whether a running canary must be stopped: the gates, evaluated again on live evidence."""

from driftline.config import Config
from driftline.registry.gates import evaluate
from driftline.registry.gates.evidence import Evidence
from driftline.registry.gates.verdict import Verdict
from driftline.storage.versions import live_evidence as store

_LIVE = ("agreement", "scores", "latency")
_LABELLED = ("calibration", "performance")
_EVENTS_PER_LABEL = 10  # events to read for each required label: most have none yet, or never


def failed_gates(config: Config, model: str, champion: int, challenger: int) -> list[Verdict]:
    """The configured gates that the challenger fails on the latest events.

    A gate that lacks evidence does not count as failed. One that cannot be measured because of the
    challenger's scores does.

    Parameters:
        config: the configuration, with the model.
        model: the model's name in the config.
        champion, challenger: the versions that share the events.

    Raises:
        ServiceError: the database is unavailable.
    """
    gates = config.model(model).gates
    verdicts: list[Verdict] = []
    for names, labelled in ((_LIVE, False), (_LABELLED, True)):
        sections = {name: gate for name in names if (gate := getattr(gates, name)) is not None}
        if not sections:
            continue
        required = max(settings.min_events for settings in sections.values())
        pairs = store.pairs(
            config.local_postgres(),
            model,
            champion,
            challenger,
            window=gates.evidence_window,
            labelled=labelled,
            limit=required * (_EVENTS_PER_LABEL if labelled else 1),
        ).latest(required)
        evidence = Evidence(labelled=pairs) if labelled else Evidence(live=pairs)
        verdicts += evaluate(evidence, gates, list(sections))
    return [verdict for verdict in verdicts if not verdict.passed and verdict.conclusive]
