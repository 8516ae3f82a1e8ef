"""Deliver the outbox by apprise: at least once to each address, at most so many an hour.

What fires within a silence is told when that ends, if it is still open. What Grafana is to tell
waits until it has done so, and is sent when it stops before. A message is sent while
its row is locked, and marked as sent in the same transaction. A process that dies between the two
leaves it unmarked, and it is sent again with the same dedupe key.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from driftline.config import Config
from driftline.errors import ConfigError
from driftline.monitors.alerts.grafana_watch import GrafanaWatch
from driftline.storage.connection import Connection
from driftline.storage.monitoring import incidents, notifications, silences
from driftline.storage.monitoring.incidents import Incident
from driftline.storage.monitoring.notifications import Message
from driftline.tls_errors import text_problem

log = logging.getLogger(__name__)

_FIRST_RETRY = timedelta(seconds=2)
_LAST_RETRY = timedelta(minutes=10)
_GIVE_UP = timedelta(days=1)  # on an address that fails where others took it
_LOOK_AGAIN = timedelta(minutes=1)  # whether a silence still holds
_ASK_AGAIN = timedelta(seconds=15)  # whether Grafana has told it
_SILENCED = "silenced"


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
    incident = incidents.get(connection, message.incident_id)
    if incident is not None and _waits(connection, message, incident, grafana):
        return False
    unwanted = _unwanted(config, connection, message, incident, grafana)
    if unwanted is not None:
        notifications.sent(connection, message.id, unwanted)
        return True
    taken, problems = send(config, message)
    if not problems:
        notifications.sent(connection, message.id)
        return True
    problem = "; ".join(problems)
    if taken and datetime.now(UTC) - message.created_at > _GIVE_UP:
        log.warning("notification %s failed (%s): given up", message.dedupe_key, problem)
        notifications.sent(connection, message.id, f"given up: {problem}")
        return True
    after = min(_FIRST_RETRY * 2 ** min(message.tries, 20), _LAST_RETRY)
    log.warning("notification %s failed (%s): again in %s", message.dedupe_key, problem, after)
    notifications.failed(connection, message.id, problem, after, taken)
    return False


def _waits(
    connection: Connection, message: Message, incident: Incident, grafana: GrafanaWatch
) -> bool:
    """Put a message off that is silenced, or that Grafana has yet to tell."""
    if _is_silenced(connection, incident):
        notifications.put_off(connection, message.id, _SILENCED, _LOOK_AGAIN)
        return True
    if grafana.delivers(incident) and not grafana.has_told(incident, message.since):
        # an outcome "silenced" from before still says that it comes late
        notifications.put_off(connection, message.id, message.outcome, _ASK_AGAIN)
        return True
    return False


def _is_silenced(connection: Connection, incident: Incident) -> bool:
    silent = silences.active(connection, incident.model)
    return any(one.family in (None, incident.family) for one in silent)


def _unwanted(
    config: Config,
    connection: Connection,
    message: Message,
    incident: Incident | None,
    grafana: GrafanaWatch,
) -> str | None:
    """Why nobody is to be told."""
    if incident is None:
        return "forgotten"
    late = message.outcome == _SILENCED and message.kind != "resolved"
    known = message.kind == "changed" or late
    reasons: dict[str, Callable[[], object]] = {
        _SILENCED: lambda: late and incident.resolved_at,
        "acknowledged": lambda: known and incident.acknowledged_at,
        "superseded": lambda: message.taken and notifications.superseded(connection, message),
        "grafana": lambda: grafana.has_told(incident, message.since),
        "no addresses": lambda: not config.notify.urls,
        "nobody was told": lambda: (
            message.kind == "resolved" and not notifications.told(connection, message)
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds()), None)


def send(config: Config, message: Message) -> tuple[list[str], list[str]]:
    """Send to each address that has not taken it.

    Returns:
        Marks of those that have now, and what went wrong, without the addresses, which are secrets.
    """
    taken, problems = [], []
    for number, secret in enumerate(config.notify.urls, 1):
        try:
            url = secret.read()
        except ConfigError as error:
            problems.append(f"address {number} of notify.urls: {error}")
            continue
        mark = _mark(number, url, message)
        problem = None if mark in message.taken else _send(url, message)
        if problem is None:
            taken.append(mark)
        else:
            problems.append(f"address {number} of notify.urls {problem}")
    return taken, problems


def _mark(number: int, url: str, message: Message) -> str:
    """Tells the addresses of a message apart, and too little of one to guess it."""
    digest = hashlib.sha256(f"{message.dedupe_key} {url}".encode()).hexdigest()
    return f"{number}:{digest[:4]}"


def _send(url: str, message: Message) -> str | None:
    """Send to one address; gives what went wrong."""
    from apprise import Apprise, NotifyFormat, NotifyType

    kind = {"resolved": NotifyType.SUCCESS, "changed": NotifyType.WARNING}
    with _reported() as reports:
        channel = Apprise()
        if not channel.add(url):
            return "is none that apprise knows"
        sent = channel.notify(
            body=f"{message.body}\nkey: {message.dedupe_key}",
            title=message.title,
            notify_type=kind.get(message.kind, NotifyType.FAILURE),
            body_format=NotifyFormat.TEXT,
        )
    if sent:
        return None
    distrusted = text_problem("\n".join(reports), "REQUESTS_CA_BUNDLE")
    return f"did not take it: {distrusted}" if distrusted else "did not take it"


class _Reports(logging.Handler):
    """Keeps what is logged; it may hold addresses, so it is never shown as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: deque[str] = deque(maxlen=100)

    def emit(self, record: logging.LogRecord) -> None:
        """See logging."""
        self.texts.append(record.getMessage())


@contextmanager
def _reported() -> Iterator[deque[str]]:
    """What apprise logs in the block, the only place where it tells why a message was not taken.

    Nobody else gets it: libraries log the addresses that they ask, and those are secrets. Set each
    time, as whatever configures logging may reset it.
    """
    for name in ("httpx", "urllib3", "requests"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    apprise, reports = logging.getLogger("apprise"), _Reports()
    apprise.propagate = False
    apprise.setLevel(logging.DEBUG)
    apprise.addHandler(reports)
    try:
        yield reports.texts
    finally:
        apprise.removeHandler(reports)
        apprise.setLevel(logging.CRITICAL)
        apprise.propagate = True
