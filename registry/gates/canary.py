"""Whether a running canary still deserves its events: the gates on live evidence, asked again."""

from driftline.config import Config
from driftline.registry.gates import judge
from driftline.registry.gates.evidence import Evidence
from driftline.registry.gates.verdict import Verdict
from driftline.storage.versions import live_evidence as store

_LIVE = ("agreement", "scores", "latency")
_LABELLED = ("calibration", "performance")
_PER_LABEL = 10  # events that are read for each label wanted: most have none yet, or never


def broken(config: Config, model: str, champion: int, challenger: int) -> list[Verdict]:
    """The gates of the config that the challenger fails on the latest events.

    A gate that wants more evidence than there is does not count: it was not broken. One that
    cannot be measured because of what the challenger gives is broken.

    Parameters:
        config: with the model in it.
        model: the model's name in the config.
        champion, challenger: the versions that share the events.

    Raises:
        ServiceError: the database is away.
    """
    gates = config.model(model).gates
    verdicts: list[Verdict] = []
    for names, labelled in ((_LIVE, False), (_LABELLED, True)):
        asked = {name: found for name in names if (found := getattr(gates, name)) is not None}
        if not asked:
            continue
        wanted = max(settings.events for settings in asked.values())
        pairs = store.pairs(
            config.local_postgres(),
            model,
            champion,
            challenger,
            window=gates.window,
            labelled=labelled,
            limit=wanted * (_PER_LABEL if labelled else 1),
        ).latest(wanted)
        evidence = Evidence(labelled=pairs) if labelled else Evidence(live=pairs)
        verdicts += judge(evidence, gates, list(asked))
    return [one for one in verdicts if not one.passed and one.conclusive]
