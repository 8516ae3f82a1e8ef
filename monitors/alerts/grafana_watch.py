"""Whether Grafana tells people of alerts now: driftline routes them there, and it evaluates."""

import logging
import time
from datetime import UTC, datetime, timedelta

from driftline import names
from driftline.config import Config
from driftline.storage.incidents import Incident

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
        self._answer = False

    def delivers(self, incident: Incident | None = None) -> bool:
        """Grafana tells people, so that driftline need not.

        What no route of the config takes goes to Grafana's own default contact point, a
        placeholder on a fresh server: that counts only where there is no address beside it.

        Parameters:
            incident: of which they are told; default: any that has a route.
        """
        if self._settings.url is None or self._settings.token is None:
            return False
        if self._config.notify.urls and not self._routed(incident):
            return False
        if time.monotonic() - self._asked >= _KEPT:
            self._answer = self._evaluates()
            self._asked = time.monotonic()
        return self._answer

    def _routed(self, incident: Incident | None) -> bool:
        routes = self._settings.routing.routes
        if incident is None:
            return bool(routes)
        model = self._config.models.get(incident.model)
        if model is None:  # no rule asks for a model that is not in the config
            return False
        return any(one.matches(model.team, incident.family, incident.severity) for one in routes)

    def _evaluates(self) -> bool:
        try:
            newest = self._newest()
        except Exception as error:  # an error's text may hold what is secret
            log.warning("Grafana does not say what it evaluates (%s)", type(error).__name__)
            return False
        if newest is None:
            log.warning("Grafana does not have driftline's rules: 'driftline dashboards apply'")
            return False
        patience = self._settings.interval * _MISSED + timedelta(seconds=10)
        return datetime.now(UTC) - newest < patience

    def _newest(self) -> datetime | None:
        """When the rule was evaluated last; None when it is not there."""
        assert self._settings.url is not None
        assert self._settings.token is not None
        from driftline.grafana_api import client  # noqa: PLC0415 - heavy

        short = self._settings.model_copy(update={"timeout": _PATIENCE})
        answer = client(short, self._settings.token.read()).client.GET(_RULES)
        times = [
            datetime.fromisoformat(rule["lastEvaluation"].replace("Z", "+00:00"))
            for group in answer["data"]["groups"]
            for rule in group["rules"]
            if rule["name"] == names.GRAFANA_HEARTBEAT
        ]
        return max(times, default=None)
