"""What people are told of an incident: what changed, by how much, since when, how often falsely."""

from datetime import UTC, datetime
from typing import NamedTuple

from driftline.config import Model
from driftline.monitoring import PIPELINE
from driftline.storage import notifications
from driftline.storage.connection import Connection
from driftline.storage.incidents import Content
from driftline.storage.notifications import Kind
from monitors.alerts import contributors
from monitors.alerts.contributors import Contributor

__all__ = ["Kind", "Message", "send", "write"]

_LINES = 8  # contributors that a message shows
_FACTS = (PIPELINE, "registry")  # families


class Message(NamedTuple):
    """A title of one line, and a body."""

    title: str
    body: str


def write(
    name: str,
    model: Model,
    number: int,
    family: str,
    content: Content,
    *,
    kind: Kind,
    link: str | None = None,
) -> Message:
    """Say what an incident is."""
    ranked = content.contributors
    named = ", ".join(contributors.columns(ranked)[:3])
    what = {"fired": content.severity, "changed": f"now a {content.severity}"}.get(kind, "resolved")
    title = f"[{what}] {name}: {family}" + (f" of {named}" if named else "")
    lines = [
        f"{family} of model {name}, {_since(content.since)} (incident {number}, {kind})",
        *(_line(one) for one in ranked[:_LINES]),
        *([f"... and {len(ranked) - _LINES} more"] if len(ranked) > _LINES else []),
        f"last window: until {_time(content.last)}",
        _falsely(family, content),
    ]
    if model.runbook:
        lines.append(f"runbook: {model.runbook}")
    if link:
        lines.append(f"dashboards: {link}")
    lines.append(f"driftline alerts show {number}")
    return Message(title, "\n".join(lines))


def send(
    connection: Connection, number: int, content: Content, kind: Kind, message: Message
) -> None:
    """Put a message into the outbox; each step of an incident is told once."""
    step = f":{content.severity}" if kind == "changed" else ""
    key = f"driftline-incident-{number}:{kind}{step}"
    notifications.add(connection, key, number, kind=kind, title=message.title, body=message.body)


def _line(one: Contributor) -> str:
    where = f" in {one['segment']}" if one["segment"] else ""
    numbers = [
        f"window {_length(one['window_seconds'])}",
        *(
            f"{key.replace('_', '-')} {one[key]:.4g}"
            for key in ("value", "expected", "p_value")
            if one[key] is not None
        ),
    ]
    return (
        f"- {one['column'] or 'stream'}{where}, {one['monitor']}: {one['detail']} "
        f"({', '.join(numbers)})"
    )


def _falsely(family: str, content: Content) -> str:
    if family in _FACTS:
        return "this is no statistic: it has happened, and is never false by chance"
    if content.false_per_week is None:
        return "how often this alarm would be false is not known: it is not calibrated by windows"
    return (
        f"without any change, all looks at this model together open at most "
        f"{content.false_per_week:.3g} incidents a week"
    )


def _length(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _since(time: datetime) -> str:
    return f"since {_time(time)}"


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
