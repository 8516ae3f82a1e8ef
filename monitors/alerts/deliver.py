"""Deliver the outbox by apprise: at least once, retried, at most so many an hour.

A message is sent while its row is locked, and marked as sent in the same transaction. A process
that dies between the two leaves it unmarked, and it is sent again with the same dedupe key.
"""

import logging
from datetime import timedelta
from functools import lru_cache

from driftline.config import Config
from driftline.storage import incidents, notifications, silences
from driftline.storage.connection import Connection
from driftline.storage.notifications import Message
from monitors.alerts.grafana_watch import GrafanaWatch

log = logging.getLogger(__name__)

_FIRST_RETRY = timedelta(seconds=2)
_LAST_RETRY = timedelta(minutes=10)


def deliver(config: Config, connection: Connection, grafana: GrafanaWatch | None = None) -> int:
    """Send what is due; gives how many messages left the outbox.

    Parameters:
        connection: as role `write`, in autocommit.
        grafana: whether it tells people itself; default: asked anew.
    """
    grafana = grafana or GrafanaWatch(config)
    done = 0
    while True:
        with connection.transaction():
            message = notifications.claim(connection, config.notify.per_hour)
            if message is None:
                return done
            done += _handle(config, connection, message, grafana)


def _handle(
    config: Config, connection: Connection, message: Message, grafana: GrafanaWatch
) -> bool:
    unwanted = _unwanted(config, connection, message, grafana)
    if unwanted is not None:
        notifications.sent(connection, message.id, unwanted)
        return True
    problem = send(config, message)
    if problem is None:
        notifications.sent(connection, message.id)
        return True
    after = min(_FIRST_RETRY * 2 ** min(message.tries, 20), _LAST_RETRY)
    log.warning("notification %s failed (%s): again in %s", message.dedupe_key, problem, after)
    notifications.failed(connection, message.id, problem, after)
    return False


def _unwanted(
    config: Config, connection: Connection, message: Message, grafana: GrafanaWatch
) -> str | None:
    """Why nobody is to be told."""
    incident = incidents.get(connection, message.incident_id)
    if incident is None:
        return "forgotten"
    silenced = any(
        one.family in (None, incident.family) for one in silences.active(connection, incident.model)
    )
    if silenced:
        return "silenced"
    if incident.acknowledged_at is not None and message.kind == "changed":
        return "acknowledged"
    if grafana.delivers():
        return "grafana"
    return None if config.notify.urls else "no addresses"


def send(config: Config, message: Message) -> str | None:
    """Send to every address; gives what went wrong, without the addresses, which are secrets."""
    from apprise import Apprise, NotifyFormat, NotifyType  # noqa: PLC0415 - heavy

    _quiet()
    channels = Apprise()
    for number, secret in enumerate(config.notify.urls, 1):
        if not channels.add(secret.read()):
            return f"apprise does not know address {number} of notify.urls"
    kind = {"resolved": NotifyType.SUCCESS, "changed": NotifyType.WARNING}
    body = f"{message.body}\nkey: {message.dedupe_key}"
    sent = channels.notify(
        body=body,
        title=message.title,
        notify_type=kind.get(message.kind, NotifyType.FAILURE),
        body_format=NotifyFormat.TEXT,
    )
    return None if sent else "an address of notify.urls did not take it"


@lru_cache(maxsize=1)
def _quiet() -> None:
    """Libraries log the addresses that they ask, and those are secrets."""
    for name in ("apprise", "httpx", "urllib3", "requests"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
