"""The demo's dashboards and alert rules in an existing Grafana."""

from collections.abc import Callable

from driftline import names
from driftline.config import Config
from driftline.dashboards.sync.apply import apply
from driftline.dashboards.sync.session import session
from driftline.errors import DriftlineError


def bring(config: Config, say: Callable[[str], None]) -> str | None:
    """Apply everything and return the URL; an error is printed and does not fail the demo.

    Parameters:
        config: with the section `grafana`.
        say: prints a line.
    """
    try:
        with session(config) as grafana:
            outcome = apply(grafana.server, grafana.state, grafana.desired_objects())
    except DriftlineError as error:
        say(f"Grafana: {error}")
        return None
    for step, reason in outcome.failed:
        say(f"Grafana, {step.kind.name} {step.uid}: {reason}")
    return f"{config.grafana.url}/d/{names.FLEET_UID}" if outcome.ok else None
