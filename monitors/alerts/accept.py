"""Accept what an incident reports as the new normal."""

from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.monitors.alerts import messages
from driftline.monitors.stream import baseline
from driftline.storage.connection import Connection, connect
from driftline.storage.monitoring import accepted_levels, alerts, incidents
from driftline.storage.monitoring.incidents import Incident


def accept(config: Config, number: int, by: str, reason: str) -> Incident:
    """Compare later windows with those since the incident began, and resolve it.

    Parameters:
        number: of the incident, open or not.
        by: who accepts it.

    Raises:
        DriftlineError: there is no such incident, or its monitors do not learn from the stream.
    """
    with connect(config.local_postgres(), "write") as connection:
        incident = incidents.require(connection, number)
        _require_learning(incident)
        accepted_levels.accept(connection, number, by, reason)
        if incident.resolved_at is None:
            _resolve(config, connection, incident, f"{by}: {reason}" if reason else by)
    return incident


def _resolve(config: Config, connection: Connection, incident: Incident, by: str) -> None:
    resolution = f"accepted as the new normal by {by}"
    incidents.resolve(connection, incident.id, resolution)
    family = incident.family
    alerts.set_state(connection, incident.model, family, state="ok", severity=incident.severity)
    message = messages.resolved(
        *(incident.model, incident.id, family, incident.content, resolution),
        link=config.notify.link,
    )
    messages.send(connection, incident.id, "resolved", message)


def _require_learning(incident: Incident) -> None:
    """Only monitors that compare with earlier windows can accept a level: columns are compared
    with a reference, arrivals and latencies with fixed limits."""
    monitors = dict.fromkeys(contributor["monitor"] for contributor in incident.contributors)
    if any(map(baseline.learns_baseline, monitors)):
        return
    if incident.family in ("drift", "quality"):
        compared = "with the reference"
        fix = f"set a new one with 'driftline reference set {incident.model} --since TIME'"
    else:
        compared, fix = "with a fixed limit", "change it in the config"
    raise DriftlineError(
        f"can't accept incident {incident.id}: {', '.join(monitors)} compares {compared}; {fix}"
    )
