"""The report of an audit, for a terminal."""

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
    for name, stream in (("events", report.events), ("labels", report.labels)):
        if stream is not None:
            numbers = (f"{getattr(stream, column):,}" for column in columns)
            counts.add_row(name, stream.topic, *numbers)
    not_compared = Text(f"not compared: {'; '.join(report.not_compared)}", "dim")
    return Group(counts, _verdict(report), *map(_line, report.differences), not_compared)


def _verdict(report: AuditReport) -> Text:
    parts = [f"logged {report.events.logged:,}"]
    if report.profiled is not None:
        parts.append(f"profiled {report.profiled:,}" + (" (every cell)" if report.deep else ""))
    if report.published is not None:
        waiting = f", {report.awaiting:,} in flight" if report.awaiting else ""
        parts.append(f"published {report.published:,}{waiting}")
    text = Text(" = ".join(parts) if report.ok else ", ".join(parts))
    verdict = ("  consistent", "green") if report.ok else ("  NOT consistent", "bold red")
    return text.append(*verdict)


def _line(difference: Difference) -> Text:
    ranges = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in difference.offsets)
    text = Text.assemble(
        (difference.kind, "red"),
        f" ({difference.count:,}) in {difference.where}: {difference.detail}",
    )
    return text.append(f"; offsets {ranges}" if ranges else "")
