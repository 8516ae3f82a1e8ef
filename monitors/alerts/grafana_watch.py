"""Whether Grafana tells people of alerts now: driftline routes them there, and it evaluates."""

import logging
import time
from datetime import UTC, datetime, timedelta

from driftline import names
from driftline.config import Config
from driftline.config.grafana import Route
from driftline.storage.monitoring.incidents import Incident
from driftline.tls_errors import tls_problem

log = logging.getLogger(__name__)

_RULES = "/prometheus/grafana/api/v1/rules"  # grafana-client has no call for it
_PATIENCE = timedelta(seconds=5)
_MISSED = 4  # evaluations in a row that may be missing
_KEPT = 15.0  # seconds that an answer is believed


class GrafanaWatch:
    """Asks Grafana when it evaluated the rule that every driftline has there.

    A Grafana that does not answer counts as stopped: being told twice is better than not at all.

    Parameters:
        config: with the section `grafana`.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._settings = config.grafana
        self._asked = -_KEPT
        self._answer: datetime | None = None

    def delivers(self, incident: Incident | None = None) -> bool:
        """Grafana tells people, so that driftline need not.

        What no route of the config takes goes to Grafana's own default contact point, a
        placeholder on a fresh server: that counts only where there is no address beside it.

        Parameters:
            incident: of which they are told; default: any that has a route.
        """
        evaluated = self._evaluated(incident)
        patience = self._settings.interval * _MISSED + timedelta(seconds=10)
        return evaluated is not None and datetime.now(UTC) - evaluated < patience

    def has_told(self, incident: Incident, since: datetime) -> bool:
        """Grafana has seen what is so since some time, and still lived when it was to tell it."""
        evaluated = self._evaluated(incident)
        return evaluated is not None and evaluated >= since + self._takes(incident)

    def _takes(self, incident: Incident) -> timedelta:
        """How long Grafana may need from the change of an alert to its message."""
        route = self._route(incident)
        grouped = max(route.group_wait, route.group_interval) if route else timedelta(0)
        return self._settings.interval + grouped

    def _may(self, incident: Incident | None) -> bool:
        if self._settings.url is None or self._settings.token is None:
            return False
        if not self._config.notify.urls:
            return True
        if incident is None:
            return bool(self._settings.routing.routes)
        return self._route(incident) is not None

    def _route(self, incident: Incident) -> Route | None:
        model = self._config.models.get(incident.model)
        if model is None:  # no rule asks for a model that is not in the config
            return None
        routes = self._settings.routing.routes
        matching = (
            one for one in routes if one.matches(model.team, incident.family, incident.severity)
        )
        return next(matching, None)

    def _evaluated(self, incident: Incident | None) -> datetime | None:
        """When Grafana evaluated last; None when it does not say, or nobody is told by it."""
        if not self._may(incident):
            return None
        if time.monotonic() - self._asked >= _KEPT:
            self._answer = self._ask()
            self._asked = time.monotonic()
        return self._answer

    def _ask(self) -> datetime | None:
        try:
            newest = self._newest()
        except Exception as error:  # an error's text may hold what is secret
            reason = tls_problem(error, "grafana.ca_file") or type(error).__name__
            log.warning("Grafana does not say what it evaluates (%s)", reason)
            return None
        if newest is None:
            log.warning("Grafana does not have driftline's rules: 'driftline dashboards apply'")
        return newest

    def _newest(self) -> datetime | None:
        """When the rule was evaluated last; None when it is not there."""
        assert self._settings.url is not None
        assert self._settings.token is not None
        from driftline.grafana_api import client

        short = self._settings.model_copy(update={"timeout": _PATIENCE})
        answer = client(short, self._settings.token.read()).client.GET(_RULES)
        times = [
            datetime.fromisoformat(rule["lastEvaluation"].replace("Z", "+00:00"))
            for group in answer["data"]["groups"]
            for rule in group["rules"]
            if rule["name"] == names.GRAFANA_HEARTBEAT
        ]
        return max(times, default=None)
