"""What people are told of an incident: what changed, by how much, since when, how often falsely."""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from driftline.config import Model
from driftline.config.monitors import PIPELINE
from driftline.monitors.alerts import contributors
from driftline.monitors.alerts.contributors import Contributor
from driftline.monitors.stream import usual
from driftline.profile.count import OTHER
from driftline.storage.connection import Connection
from driftline.storage.monitoring import notifications
from driftline.storage.monitoring.incidents import Content
from driftline.storage.monitoring.notifications import Kind

__all__ = ["Kind", "Message", "send", "write"]

_LONGEST = 1_000  # characters of a line
_BIDIRECTIONAL = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_LONGEST_FINDING = 150  # characters of a title
_LINES = 8  # contributors that a message shows
_FACTS = (PIPELINE, "registry")  # families


class Message(NamedTuple):
    """A title of one line, a body, and the key of this step of its incident."""

    title: str
    body: str
    key: str


def write(
    name: str,
    model: Model,
    number: int,
    family: str,
    content: Content,
    *,
    kind: Kind,
    before: Content | None = None,
    link: str | None = None,
) -> Message:
    """Say what an incident is.

    Parameters:
        before: what it was, when it has changed.
    """
    ranked = content.contributors
    joined = [] if before is None else contributors.joined(before.contributors, ranked)
    severer = before is not None and content.severity != before.severity
    named = ", ".join((joined or contributors.subjects(family, ranked))[:3])
    title = f"[{'now a ' if severer else ''}{content.severity}] {name}: {family}"
    title += f" {'now also ' if joined else ''}of {named}" if named else ""
    if kind == "fired" and ranked:
        title += f": {ranked[0]['detail'][:_LONGEST_FINDING]}"
    # what has just joined is not to be lost below what has drifted for long
    ranked = sorted(ranked, key=lambda one: contributors.name(one) not in joined)
    lines = [
        *([f"joined: {_listed(joined)}"] if joined else []),
        *(_line(one) for one in ranked[:_LINES]),
        *([f"... and {len(ranked) - _LINES} more"] if len(ranked) > _LINES else []),
        f"{family} of model {name}, {_since(content.since)} (incident {number}, {kind})",
        f"last window: until {_time(content.last)}",
        _falsely(family, content),
    ]
    if any(usual.learns(one["monitor"]) for one in ranked):
        lines.append(f"if this is what is usual now: driftline alerts accept {number}")
    if model.runbook:
        lines.append(f"runbook: {model.runbook}")
    if link:
        lines.append(f"dashboards: {link}")
    lines.append(f"driftline alerts show {number}")
    # a column joins an incident once, so the first of those that join stands for them
    steps = [content.severity] * severer + [f"+{one}" for one in joined[:1]]
    key = ":".join([f"driftline-incident-{number}", kind, *steps])
    return Message(_one_line(title), "\n".join(map(_one_line, lines)), key)


def resolved(
    name: str, number: int, family: str, content: Content, resolution: str, *, link: str | None
) -> Message:
    """Say that an incident has ended: when, after how long, and why."""
    named = ", ".join(contributors.subjects(family, content.contributors)[:3])
    duration = length(int((content.last - content.since).total_seconds()))
    lines = [
        f"{family} of model {name} no longer alarms (incident {number}, resolved)",
        f"it alarmed for {duration}, from {_time(content.since)} until {_time(content.last)}",
        f"ended by: {resolution}",
        *([f"dashboards: {link}"] if link else []),
        f"driftline alerts show {number}",
    ]
    title = f"[resolved] {name}: {family}" + (f" of {named}" if named else "")
    key = f"driftline-incident-{number}:resolved"
    return Message(_one_line(title), "\n".join(map(_one_line, lines)), key)


def _one_line(text: str) -> str:
    """Without what a name or a category could add lines with, or turn the text around."""
    shown = "".join(" " if _is_control(one) else one for one in text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in _BIDIRECTIONAL


def send(connection: Connection, number: int, kind: Kind, message: Message) -> None:
    """Put a message into the outbox; each step of an incident is told once."""
    notifications.add(
        connection, message.key, number, kind=kind, title=message.title, body=message.body
    )


def _listed(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - _LINES} more" if len(columns) > _LINES else ""
    return ", ".join(columns[:_LINES]) + more


def _line(one: Contributor) -> str:
    where = f" in {_segment(one['segment'])}" if one["segment"] else ""
    numbers = [
        f"window {length(one['window_seconds'])}",
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


def _segment(segment: str) -> str:
    column, _, value = segment.partition("=")
    return f"the other values of {column}" if value == OTHER else segment


def _falsely(family: str, content: Content) -> str:
    if family in _FACTS:
        return "this is an observed event, not a statistical test"
    if content.false_per_week is None:
        return "false-alarm rate unknown: not calibrated"
    return f"expected false incidents for this model: at most {content.false_per_week:.3g} per week"


def length(seconds: int) -> str:
    """A length of time as people write it.

    >>> length(3_600), length(604_800), length(90)
    ('1 h', '7 d', '90 s')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _since(time: datetime) -> str:
    return f"since {_time(time)}"


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
