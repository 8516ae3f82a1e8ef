"""The notifications of an incident: what changed, since when, what it means and what to do."""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from driftline.config import Model
from driftline.config.monitors import PIPELINE, Family
from driftline.monitors.alerts import contributors
from driftline.monitors.alerts.contributors import Contributor
from driftline.monitors.stream import baseline
from driftline.profile.count import OTHER
from driftline.storage.connection import Connection
from driftline.storage.monitoring import notifications
from driftline.storage.monitoring.incidents import Content
from driftline.storage.monitoring.notifications import Kind

__all__ = ["Kind", "Message", "resolved", "send", "write"]

_MAX_LINE = 1_000  # characters
_MAX_DETAIL = 150  # characters of a detail in a title
_MAX_CONTRIBUTORS = 8  # that a message shows
_BIDIRECTIONAL = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_OBSERVED = (PIPELINE, "registry")  # families without a statistical test
_MEANING: dict[Family, str] = {
    "drift": "inputs or scores have changed; predictions may be less accurate",
    "quality": "more input is missing, invalid, unexpected or rejected than usual; "
    "predictions may be wrong or absent",
    "performance": "predictions match the labels less well than in the baseline",
    "volume": "the number of events is unusual; the source may be losing or repeating events",
    "latency": "more predictions are slow than the objective allows",
    "registry": "a model version needs a decision",
    "pipeline": "driftline could not run some checks; problems there would go unnoticed",
}


class Message(NamedTuple):
    """A title of one line, a body, and the key of this step of its incident."""

    title: str
    body: str
    key: str


def write(
    name: str,
    model: Model,
    number: int,
    family: Family,
    content: Content,
    *,
    kind: Kind,
    previous: Content | None = None,
    link: str | None = None,
) -> Message:
    """Describe an open incident.

    Parameters:
        previous: the content before the change, when it has changed.
    """
    ranked = content.contributors
    joined = [] if previous is None else contributors.joined(previous.contributors, ranked)
    escalated = previous is not None and content.severity != previous.severity
    subject = contributors.heading(family, joined or contributors.subjects(family, ranked))
    if joined:
        subject = subject.replace(" in ", " now also in ", 1)
    title = f"[{'escalated to ' if escalated else ''}{content.severity}] {name}: {subject}"
    if kind == "fired" and ranked:
        title += f": {ranked[0]['detail'][:_MAX_DETAIL]}"
    # columns that have just joined come first, even if others have drifted farther
    ranked = sorted(ranked, key=lambda item: contributors.name(item) not in joined)
    lines = [
        f"{family.capitalize()} alert for model {name} since {_time(content.since)}; "
        f"last alarm in the window ending {_time(content.last)}",
        *([f"New in this incident: {_listed(joined)}"] if joined else []),
        *map(_line, ranked[:_MAX_CONTRIBUTORS]),
        *([f"... and {len(ranked) - _MAX_CONTRIBUTORS} more"] * (len(ranked) > _MAX_CONTRIBUTORS)),
        f"Meaning: {_MEANING[family]}",
        _false_alarms(family, content),
        *([f"Runbook: {model.runbook}"] if model.runbook else []),
        *([f"Dashboards: {link}"] if link else []),
        f"Details: driftline alerts show {number}",
        f"Acknowledge: driftline alerts ack {number}",
        *_ways_to_accept(name, number, family, ranked),
    ]
    # a column joins an incident once, so the first of those that join identifies the step
    steps = [content.severity] * escalated + [f"+{column}" for column in joined[:1]]
    key = ":".join([f"driftline-incident-{number}", kind, *steps])
    return Message(_one_line(title), "\n".join(map(_one_line, lines)), key)


def resolved(
    name: str, number: int, family: str, content: Content, resolution: str, *, link: str | None
) -> Message:
    """Describe the end of an incident: how long it lasted, and why it ended."""
    duration = length(int((content.last - content.since).total_seconds()))
    lines = [
        f"{family.capitalize()} alert for model {name} resolved: {resolution}",
        f"It lasted {duration}, from {_time(content.since)} to {_time(content.last)}",
        *([f"Dashboards: {link}"] if link else []),
        f"Details: driftline alerts show {number}",
    ]
    subjects = contributors.subjects(family, content.contributors)
    title = f"[resolved] {name}: {contributors.heading(family, subjects)}"
    key = f"driftline-incident-{number}:resolved"
    return Message(_one_line(title), "\n".join(map(_one_line, lines)), key)


def send(connection: Connection, number: int, kind: Kind, message: Message) -> None:
    """Put a message into the outbox; each step of an incident is sent once."""
    notifications.add(
        connection, message.key, number, kind=kind, title=message.title, body=message.body
    )


def length(seconds: int) -> str:
    """A length of time as people write it.

    >>> length(3_600), length(604_800), length(90)
    ('1 h', '7 d', '90 s')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _one_line(text: str) -> str:
    """Names and categories come from the data: they may neither add lines nor reorder text."""
    shown = "".join(" " if _is_control(character) else character for character in text)
    return shown if len(shown) <= _MAX_LINE else f"{shown[:_MAX_LINE]}..."


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in _BIDIRECTIONAL


def _listed(columns: Sequence[str]) -> str:
    more = len(columns) - _MAX_CONTRIBUTORS
    return ", ".join(columns[:_MAX_CONTRIBUTORS]) + (f" and {more} more" if more > 0 else "")


def _line(contributor: Contributor) -> str:
    segment = f"in {_segment(contributor['segment'])}" if contributor["segment"] else ""
    subject = " ".join(filter(None, (contributor["column"], segment)))
    numbers = [
        contributor["monitor"],
        f"window {length(contributor['window_seconds'])}",
        *(
            f"{key.replace('_', '-')} {contributor[key]:.4g}"
            for key in ("value", "expected", "p_value")
            if contributor[key] is not None
        ),
    ]
    return f"- {f'{subject}: ' if subject else ''}{contributor['detail']} ({', '.join(numbers)})"


def _segment(segment: str) -> str:
    column, _, value = segment.partition("=")
    return f"the other values of {column}" if value == OTHER else segment


def _false_alarms(family: str, content: Content) -> str:
    if family in _OBSERVED:
        return "This is an observed event, not a statistical test"
    if content.false_alarms_per_week is None:
        return "False-alarm rate unknown: not calibrated"
    rate = f"{content.false_alarms_per_week:.3g}"
    return f"Expected false incidents for this model: at most {rate} per week"


def _ways_to_accept(
    name: str, number: int, family: str, ranked: Sequence[Contributor]
) -> Iterator[str]:
    """How to make the new level the normal one; fixed limits are changed in the config."""
    if any(baseline.learns_baseline(item["monitor"]) for item in ranked):
        yield f"Accept as the new normal: driftline alerts accept {number}"
    elif family in ("drift", "quality") and any(item["column"] for item in ranked):
        yield f"Accept as the new normal: driftline reference set {name} --since TIME"


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
