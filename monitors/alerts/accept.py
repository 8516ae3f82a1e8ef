"""A person accepts what an incident says: it is what is usual from now on."""

from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.monitors.alerts import messages
from driftline.monitors.stream import usual
from driftline.storage.connection import connect
from driftline.storage.monitoring import accepted_levels, alerts, incidents
from driftline.storage.monitoring.incidents import Incident


def accept(config: Config, number: int, by: str, reason: str) -> Incident:
    """Compare windows with those since the incident began, and end it.

    Args:
        number: of the incident, open or not.
        by: who accepts it.

    Raises:
        DriftlineError: there is no such incident, or its monitors do not learn from the stream.
    """
    with connect(config.local_postgres(), "write") as connection:
        found = incidents.require(connection, number)
        _require_learning(found)
        accepted_levels.accept(connection, number, by, reason)
        if found.resolved_at is None:
            why = f"accepted as usual by {by}" + (f": {reason}" if reason else "")
            incidents.resolve(connection, number, why)
            alerts.put(connection, found.model, found.family, state="ok", severity=found.severity)
            message = messages.resolved(
                found.model, number, found.family, found.content, why, link=config.notify.link
            )
            messages.send(connection, number, "resolved", message)
    return found


def _require_learning(one: Incident) -> None:
    """Columns are compared with a reference, arrivals and latencies with limits: no windows of
    the stream say what is usual."""
    monitors = dict.fromkeys(contributor["monitor"] for contributor in one.contributors)
    if any(map(usual.learns, monitors)):
        return
    referred = f"'driftline reference set {one.model} --since TIME' makes a new one"
    raise DriftlineError(
        f"incident {one.id} can't be accepted: {', '.join(monitors)} "
        + (
            f"compares with the reference: {referred}"
            if one.family in ("drift", "quality")
            else "has a fixed limit: change it in the config"
        )
    )
