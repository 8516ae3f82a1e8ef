"""Deliver the outbox by apprise: at least once to each address, at most N messages per hour.

If an incident is still open when its silence expires, its message is sent then. A message that
Grafana delivers waits until it has done so, and is sent here if Grafana stops before. A message is
sent while its row is locked, and marked as sent in the same transaction. A process that dies
between the two leaves it unmarked, and it is sent again with the same dedupe key.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from driftline.config import Config
from driftline.errors import ConfigError
from driftline.monitors.alerts.grafana_delivery import GrafanaDelivery
from driftline.storage.connection import Connection
from driftline.storage.monitoring import incidents, notifications, silences
from driftline.storage.monitoring.incidents import Incident
from driftline.storage.monitoring.notifications import Message
from driftline.tls_errors import text_problem

log = logging.getLogger(__name__)

_FIRST_RETRY = timedelta(seconds=2)
_LAST_RETRY = timedelta(minutes=10)
_GIVE_UP = timedelta(days=1)  # on an address that fails while others succeed
_SILENCE_RECHECK = timedelta(minutes=1)
_GRAFANA_RECHECK = timedelta(seconds=15)
_SILENCED = "silenced"


def deliver(config: Config, connection: Connection, grafana: GrafanaDelivery | None = None) -> int:
    """Send what is due; returns how many messages left the outbox.

    Parameters:
        connection: as role `write`, in autocommit.
        grafana: reports whether Grafana delivers them; default: a new client.
    """
    grafana = grafana or GrafanaDelivery(config)
    handled = 0
    while True:
        with connection.transaction():
            message = notifications.claim(connection, config.notify.max_per_hour)
            if message is None:
                return handled
            handled += _handle(config, connection, message, grafana)


def _handle(
    config: Config, connection: Connection, message: Message, grafana: GrafanaDelivery
) -> bool:
    """Send, drop or postpone one message; returns whether it left the outbox."""
    incident = incidents.get(connection, message.incident_id)
    if incident is not None and _postpone(connection, message, incident, grafana):
        return False
    reason = _reason_to_drop(config, connection, message, incident, grafana)
    if reason is not None:
        notifications.mark_sent(connection, message.id, reason)
        return True
    accepted, problems = send(config, message)
    if not problems:
        notifications.mark_sent(connection, message.id)
        return True
    problem = "; ".join(problems)
    if accepted and datetime.now(UTC) - message.created_at > _GIVE_UP:
        log.warning("notification %s failed (%s): giving up", message.dedupe_key, problem)
        notifications.mark_sent(connection, message.id, f"gave up: {problem}")
        return True
    delay = min(_FIRST_RETRY * 2 ** min(message.attempts, 20), _LAST_RETRY)
    log.warning("notification %s failed (%s): retrying in %s", message.dedupe_key, problem, delay)
    notifications.mark_failed(connection, message.id, problem, delay, accepted)
    return False


def _postpone(
    connection: Connection, message: Message, incident: Incident, grafana: GrafanaDelivery
) -> bool:
    """Postpone a message that is silenced, or that Grafana may still deliver."""
    if _is_silenced(connection, incident):
        notifications.postpone(connection, message.id, _SILENCED, _SILENCE_RECHECK)
        return True
    if grafana.delivers(incident) and not grafana.has_notified(incident, message.since):
        # keeps an earlier outcome "silenced", which marks the message as late
        notifications.postpone(connection, message.id, message.outcome, _GRAFANA_RECHECK)
        return True
    return False


def _is_silenced(connection: Connection, incident: Incident) -> bool:
    active = silences.active(connection, incident.model)
    return any(silence.family in (None, incident.family) for silence in active)


def _reason_to_drop(
    config: Config,
    connection: Connection,
    message: Message,
    incident: Incident | None,
    grafana: GrafanaDelivery,
) -> str | None:
    """Why the message need not be sent; None when it must be."""
    if incident is None:
        return "forgotten"
    late = message.outcome == _SILENCED and message.kind != "resolved"
    repeated = message.kind == "changed" or late
    reasons: dict[str, Callable[[], object]] = {
        _SILENCED: lambda: late and incident.resolved_at,
        "acknowledged": lambda: repeated and incident.acknowledged_at,
        "superseded": lambda: message.taken and notifications.superseded(connection, message),
        "grafana": lambda: grafana.has_notified(incident, message.since),
        "no addresses": lambda: not config.notify.urls,
        "nobody was notified": lambda: (
            message.kind == "resolved" and not notifications.already_notified(connection, message)
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds()), None)


def send(config: Config, message: Message) -> tuple[list[str], list[str]]:
    """Send to each address that has not accepted the message.

    Returns:
        Marks of the addresses that have accepted it, and the problems of the others, without the
        addresses, which are secrets.
    """
    accepted, problems = [], []
    for number, secret in enumerate(config.notify.urls, 1):
        try:
            url = secret.read()
        except ConfigError as error:
            problems.append(f"address {number} of notify.urls: {error}")
            continue
        mark = _mark(number, url, message)
        problem = None if mark in message.taken else _send(url, message)
        if problem is None:
            accepted.append(mark)
        else:
            problems.append(f"address {number} of notify.urls {problem}")
    return accepted, problems


def _mark(number: int, url: str, message: Message) -> str:
    """Distinguishes the addresses of a message, but is too short to guess one from it."""
    digest = hashlib.sha256(f"{message.dedupe_key} {url}".encode()).hexdigest()
    return f"{number}:{digest[:4]}"


def _send(url: str, message: Message) -> str | None:
    """Send to one address; returns the problem, if any."""
    from apprise import Apprise, NotifyFormat, NotifyType

    kind = {"resolved": NotifyType.SUCCESS, "changed": NotifyType.WARNING}
    with _captured_logs() as logs:
        channel = Apprise()
        if not channel.add(url):
            return "is not a valid apprise URL"
        sent = channel.notify(
            body=f"{message.body}\nkey: {message.dedupe_key}",
            title=message.title,
            notify_type=kind.get(message.kind, NotifyType.FAILURE),
            body_format=NotifyFormat.TEXT,
        )
    if sent:
        return None
    tls_reason = text_problem("\n".join(logs), "REQUESTS_CA_BUNDLE")
    return (
        f"did not accept the message: {tls_reason}" if tls_reason else "did not accept the message"
    )


class _LogCapture(logging.Handler):
    """Keeps log messages; they may contain addresses, so they are never shown."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: deque[str] = deque(maxlen=100)

    def emit(self, record: logging.LogRecord) -> None:
        """See logging."""
        self.texts.append(record.getMessage())


@contextmanager
def _captured_logs() -> Iterator[deque[str]]:
    """What apprise logs in the block: the only place where it reports why sending failed.

    No other handler gets it: libraries log the addresses, which are secrets. The levels are set
    each time, because configuring logging may reset them.
    """
    for name in ("httpx", "urllib3", "requests"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    apprise, capture = logging.getLogger("apprise"), _LogCapture()
    apprise.propagate = False
    apprise.setLevel(logging.DEBUG)
    apprise.addHandler(capture)
    try:
        yield capture.texts
    finally:
        apprise.removeHandler(capture)
        apprise.setLevel(logging.CRITICAL)
        apprise.propagate = True
