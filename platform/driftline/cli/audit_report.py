"""What an audit found, for a terminal."""

import dataclasses

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from driftline.audit import AuditReport, Difference, StreamCounts


def rendered(report: AuditReport) -> RenderableType:
    """The counts of each stream, whether they agree, and every difference."""
    counts = Table("stream", "topic", title=f"audit of {report.model}", title_justify="left")
    columns = [f.name for f in dataclasses.fields(StreamCounts) if f.name != "topic"]
    for name in columns:
        counts.add_column(name, justify="right")
    for stream, found in (("events", report.events), ("labels", report.labels)):
        if found is not None:
            numbers = (f"{getattr(found, name):,}" for name in columns)
            counts.add_row(stream, found.topic, *numbers)
    rest = Text(f"not compared: {'; '.join(report.not_compared)}", "dim")
    return Group(counts, _verdict(report), *(_line(one) for one in report.differences), rest)


def _verdict(report: AuditReport) -> Text:
    parts = [f"logged {report.events.logged:,}"]
    if report.profiled is not None:
        parts.append(f"profiled {report.profiled:,}" + (" (every cell)" if report.deep else ""))
    if report.published is not None:
        waiting = f", {report.awaiting:,} on their way" if report.awaiting else ""
        parts.append(f"published {report.published:,}{waiting}")
    text = Text(" = ".join(parts) if report.ok else ", ".join(parts))
    verdict = ("  all agrees", "green") if report.ok else ("  it does not agree", "bold red")
    return text.append(*verdict)


def _line(one: Difference) -> Text:
    ranges = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in one.offsets)
    text = Text.assemble((one.kind, "red"), f" ({one.count:,}) in {one.where}: {one.detail}")
    return text.append(f"; offsets {ranges}" if ranges else "")
