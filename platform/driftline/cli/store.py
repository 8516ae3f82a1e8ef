"""The commands on stored records; heavy imports stay in the functions."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from driftline.cli import options
from driftline.cli.console import console
from driftline.cli.options import DEFAULT_CONFIG, TIME_FORMATS, AsJson, ConfigPath, ModelName

if TYPE_CHECKING:
    from driftline.storage.log.rejected import Filter, Rejected

Since = Annotated[
    datetime | None, typer.Option(formats=TIME_FORMATS, help="Start (UTC), inclusive.")
]
Until = Annotated[datetime | None, typer.Option(formats=TIME_FORMATS, help="End (UTC), exclusive.")]
Reason = Annotated[str | None, typer.Option(help="Only messages rejected for this reason.")]
_REFERENCE_MARGIN = timedelta(days=2)  # after the burn-in, live windows have become a reference
_MAX_MARK_AGE = timedelta(days=30)  # of marks of changed minutes that no runner has read

rejected = typer.Typer(help="Inspect and replay rejected messages.", no_args_is_help=True)

out = console()


def audit(
    model: ModelName,
    since: Since = None,
    until: Until = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also recount every cell of the profiles.")
    ] = False,
    complete: Annotated[
        bool,
        typer.Option("--complete", help="For a stream that has ended: fail on pending records."),
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Prove that every record of the input topic is accounted for.

    Exit code 1 if not; the offsets of every difference are printed. --since and --until are Kafka
    timestamps of the records.
    """
    from driftline.audit import audit as make
    from driftline.cli.audit_report import rendered
    from driftline.config import load

    report = make(
        load(config),
        model,
        since=_utc(since),
        until=_utc(until),
        deep=deep,
        complete=complete,
    )
    if as_json:
        out.print_json(report.to_json())
    else:
        out.print(rendered(report))
    if not report.ok:
        raise typer.Exit(1)


def explain(
    event_id: Annotated[str, typer.Argument(help="Event ID.")],
    model: Annotated[str | None, typer.Option(help="Only this model. Default: all.")] = None,
    since: Since = None,
    until: Until = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Trace a prediction to its message, features, model version, training run and promotion.

    --since and --until are event times; they speed up the search in a large store.
    """
    from driftline.config import load
    from driftline.storage.log.lineage import explain as find

    predictions = find(load(config), event_id, model, since=_utc(since), until=_utc(until))
    if as_json:
        typer.echo(json.dumps(predictions, indent=2, default=str))
        return
    for lineage in predictions:
        table = Table("", "", title=f"{event_id}, {lineage['model']}", title_justify="left")
        for part in ("prediction", "message", "features", "version", "decision"):
            table.add_section()
            for name, value in (lineage[part] or {}).items():
                table.add_row(f"{part} {name}", Text("" if value is None else str(value)))
        for part in ("shadows", "labels"):
            table.add_section()
            for row in lineage[part]:
                table.add_row(part[:-1], Text(", ".join(f"{k} {v}" for k, v in row.items())))
        out.print(table)


def republish(
    model: ModelName,
    since: Since = None,
    until: Until = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Include predictions that the topic already has.")
    ] = False,
    now: Annotated[
        bool,
        typer.Option("--job-stopped", help="For a stopped job: include its newest predictions."),
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Publish stored predictions that are missing from the output topic.

    --since and --until are event times.
    """
    from driftline.audit.republish import republish as publish
    from driftline.config import load

    count = publish(
        load(config),
        model,
        since=_utc(since),
        until=_utc(until),
        everything=everything,
        grace=timedelta(0) if now else None,
    )
    _print_facts({"published": count}, as_json)


def compact(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Only this model. Default: all.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Merge old profile and ledger rows, and delete rows and verdicts past their retention."""
    from driftline.config import load
    from driftline.profile import blocks
    from driftline.storage import blockers
    from driftline.storage.log import compaction
    from driftline.storage.monitoring import verdicts
    from driftline.storage.profiles import dirty_minutes, profile_rows
    from driftline.storage.tables import schema

    loaded = load(config)
    for name in [model] if model else loaded.models:
        settings = loaded.model(name).monitors
        minutes = settings.block_minutes
        kept_for = min(settings.burn_in, blocks.max_span(60 * minutes)) + _REFERENCE_MARGIN
        with blockers.connect_with_lock_timeout(loaded.local_postgres(), "write") as connection:
            merged = profile_rows.compact(connection, name, minutes=minutes, hours_after=kept_for)
            days = compaction.compact(connection, name)
        counts = {
            "profile_rows": merged.rows_before,
            "merged_to": merged.rows_after,
            "ledger_days": days,
        }
        _print_facts({"model": name, **counts}, as_json)
    with blockers.connect_with_lock_timeout(loaded.local_postgres(), "write") as connection:
        expired = verdicts.expire(connection, loaded.storage.keep_verdicts)
        expired += dirty_minutes.expire(connection, datetime.now(UTC) - _MAX_MARK_AGE)
    if expired:
        _print_facts({"expired_results": expired}, as_json)
    dropped = schema.expire(loaded)
    if dropped:
        _print_facts({"dropped_chunks": len(dropped)}, as_json)


@rejected.command("list")
def rejected_list(
    model: ModelName,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=0, help="Show at most N messages, newest first.")] = 20,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Count rejected messages by reason and show the newest.

    --since and --until are times of rejection.
    """
    from driftline.config import load
    from driftline.storage.connection import connect
    from driftline.storage.log.rejected import counts, find

    loaded = load(config)
    loaded.model(model)
    filters = _filter(reason, since, until)
    with connect(loaded.local_postgres(), "read") as connection:
        reasons = counts(connection, model, filters)
        messages = find(connection, model, filters, limit)
    if as_json:
        keys = ("stream", "reason", "messages", "replayed")
        content = {
            "reasons": [dict(zip(keys, row, strict=True)) for row in reasons],
            "messages": [_as_json(message) for message in messages],
        }
        out.print_json(json.dumps(content))
        return
    summary = Table("stream", "reason", "messages", "replayed")
    for stream, code, count, replayed in reasons:
        summary.add_row(stream, Text(code), f"{count:,}", f"{replayed:,}")
    out.print(summary, _messages(messages))


@rejected.command("replay")
def rejected_replay(
    model: ModelName,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    again: Annotated[
        bool, typer.Option("--include-replayed", help="Include messages that were replayed before.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Send rejected messages to their topic again, once the cause is fixed.

    --since and --until are times of rejection.
    """
    from driftline.config import load
    from driftline.storage.log.rejected import replay

    loaded = load(config)
    loaded.model(model)
    replayed = replay(loaded, model, _filter(reason, since, until), again=again)
    _print_facts({"sent": replayed.sent, "without_value": replayed.empty}, as_json)


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else options.utc(time)


def _filter(reason: str | None, since: datetime | None, until: datetime | None) -> "Filter":
    from driftline.storage.log.rejected import Filter

    return Filter(reason, _utc(since), _utc(until))


def _print_facts(facts: dict[str, object], as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps(facts))
    else:
        out.print(", ".join(f"{key.replace('_', ' ')} {fact}" for key, fact in facts.items()))


def _messages(messages: "list[Rejected]") -> Table:
    table = Table("rejected", "position", "reason", "detail", "payload", "replayed")
    for message in messages:
        replayed_at = message.replayed_at
        table.add_row(
            f"{message.rejected_at:%Y-%m-%d %H:%M:%S}",
            Text(f"{message.topic}[{message.partition}]:{message.offset}"),
            Text(message.reason),
            Text(message.detail),
            Text("" if message.payload is None else repr(message.payload[:60])[2:-1]),
            "" if replayed_at is None else f"{replayed_at:%Y-%m-%d %H:%M:%S}",
        )
    return table


def _as_json(message: "Rejected") -> dict[str, object]:
    """Times in ISO form, the payload as text, with escapes for bytes that are not UTF-8."""
    facts = dataclasses.asdict(message)
    for key, fact in facts.items():
        if isinstance(fact, datetime):
            facts[key] = fact.isoformat()
    if message.payload is not None:
        facts["payload"] = message.payload.decode(errors="backslashreplace")
    return facts
