"""Whether Grafana delivers alerts now: driftline routes them there, and its rules are evaluated."""

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
_TIMEOUT = timedelta(seconds=5)
_MAX_MISSED = 4  # consecutive evaluations
_CACHE_SECONDS = 15.0  # that an answer is reused


class GrafanaDelivery:
    """Asks Grafana when it last evaluated the rule that every driftline installs there.

    A Grafana that does not answer counts as stopped: a duplicate notification is better than none.

    Parameters:
        config: with the section `grafana`.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._settings = config.grafana
        self._requested_at = -_CACHE_SECONDS
        self._cached: datetime | None = None

    def delivers(self, incident: Incident | None = None) -> bool:
        """Whether Grafana sends notifications, so that driftline need not.

        An alert that matches no route of the config goes to Grafana's default contact point, a
        placeholder on a new server: that counts only if `notify.urls` is empty.

        Parameters:
            incident: to be notified; default: any that has a route.
        """
        evaluated = self._evaluated(incident)
        tolerance = self._settings.interval * _MAX_MISSED + timedelta(seconds=10)
        return evaluated is not None and datetime.now(UTC) - evaluated < tolerance

    def has_notified(self, incident: Incident, since: datetime) -> bool:
        """Whether Grafana has seen a state that began at `since`, and was still running when its
        notification was due."""
        evaluated = self._evaluated(incident)
        return evaluated is not None and evaluated >= since + self._delay(incident)

    def _delay(self, incident: Incident) -> timedelta:
        """Longest time from the change of an alert to its notification."""
        route = self._route(incident)
        grouped = max(route.group_wait, route.group_interval) if route else timedelta(0)
        return self._settings.interval + grouped

    def _is_responsible(self, incident: Incident | None) -> bool:
        if self._settings.url is None or self._settings.token is None:
            return False
        if not self._config.notify.urls:
            return True
        if incident is None:
            return bool(self._settings.routing.routes)
        return self._route(incident) is not None

    def _route(self, incident: Incident) -> Route | None:
        model = self._config.models.get(incident.model)
        if model is None:  # a model that is not in the config has no alert rule
            return None
        routes = self._settings.routing.routes
        matching = (
            route
            for route in routes
            if route.matches(model.team, incident.family, incident.severity)
        )
        return next(matching, None)

    def _evaluated(self, incident: Incident | None) -> datetime | None:
        """When Grafana evaluated last; None when that is unknown, or when it notifies nobody."""
        if not self._is_responsible(incident):
            return None
        if time.monotonic() - self._requested_at >= _CACHE_SECONDS:
            self._cached = self._request()
            self._requested_at = time.monotonic()
        return self._cached

    def _request(self) -> datetime | None:
        try:
            evaluated = self._last_evaluation()
        except Exception as error:  # its text may contain secrets
            reason = tls_problem(error, "grafana.ca_file") or type(error).__name__
            log.warning("could not read alert rules from Grafana (%s)", reason)
            return None
        if evaluated is None:
            log.warning("Grafana has no alert rules of driftline: run 'driftline dashboards apply'")
        return evaluated

    def _last_evaluation(self) -> datetime | None:
        """When the rule was last evaluated; None when it does not exist."""
        assert self._settings.url is not None
        assert self._settings.token is not None
        from driftline.grafana_api import client

        short = self._settings.model_copy(update={"timeout": _TIMEOUT})
        answer = client(short, self._settings.token.read()).client.GET(_RULES)
        times = [
            datetime.fromisoformat(rule["lastEvaluation"].replace("Z", "+00:00"))
            for group in answer["data"]["groups"]
            for rule in group["rules"]
            if rule["name"] == names.GRAFANA_HEARTBEAT
        ]
        return max(times, default=None)
