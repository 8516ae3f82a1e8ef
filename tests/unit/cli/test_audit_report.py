"""A report says the same to people and to machines."""

import json
from datetime import UTC, datetime

from rich.console import Console

from driftline.audit import AuditReport, Difference, StreamCounts
from driftline.cli.audit_report import rendered
from driftline.kafka import intervals


def report(*differences: Difference) -> AuditReport:
    return AuditReport(
        model="fraud",
        made_at=datetime(2024, 5, 1, tzinfo=UTC),
        events=StreamCounts("events", read=12, logged=9, duplicate=1, rejected=2),
        labels=None,
        profiled=9,
        published=8,
        awaiting=1,
        deep=False,
        differences=differences,
    )


def text(one: AuditReport) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(rendered(one))
    return capture.get()


def test_agreement() -> None:
    one = report()
    assert one.ok
    assert "logged 9 = profiled 9 = published 8, 1 in flight  consistent" in text(one)


def test_differences_are_shown_with_their_offsets() -> None:
    spans = intervals.of([3, 4, 5, 9])
    one = report(Difference.of("missing", "events t[0]", spans, "records have no [outcome]"))
    assert not one.ok
    shown = text(one)
    assert "NOT consistent" in shown
    assert "missing (4) in events t[0]: records have no [outcome]; offsets 3-5, 9" in shown
    content = json.loads(one.to_json())
    assert content["ok"] is False
    assert content["differences"][0]["offsets"] == [[3, 5], [9, 9]]


def test_counts_add_up() -> None:
    one, other = StreamCounts("t", read=2, pending=1), StreamCounts("u", read=3, expired=4)
    assert one + other == StreamCounts("t", read=5, pending=1, expired=4)
