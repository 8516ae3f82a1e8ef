"""The commands of the store; heavy imports stay in the functions."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from driftline.cli.console import console

if TYPE_CHECKING:
    from driftline.storage.log.rejected import Filter, Rejected

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", help="The config file.", envvar="DRIFTLINE_CONFIG")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
ModelName = Annotated[str, typer.Argument(help="A model of the config.")]
_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
Since = Annotated[datetime | None, typer.Option(formats=_FORMATS, help="From this time on (UTC).")]
Until = Annotated[datetime | None, typer.Option(formats=_FORMATS, help="Before this time (UTC).")]
Reason = Annotated[str | None, typer.Option(help="Only those rejected for this reason.")]
DEFAULT_CONFIG = Path("driftline.yaml")
_CHECKED = timedelta(days=2)  # by when live windows have become a reference
_UNSEEN = timedelta(days=30)  # marks of changed minutes that no runner has read

rejected = typer.Typer(help="Messages that became no prediction.", no_args_is_help=True)

out = console()


def audit(
    model: ModelName,
    since: Since = None,
    until: Until = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Count every cell of the profiles again.")
    ] = False,
    complete: Annotated[
        bool, typer.Option("--complete", help="The stream has ended: nothing may be pending.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Prove what became of every record; exit code 1 and the offsets where it does not agree.

    --since and --until are Kafka times of the records.
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
    event_id: Annotated[str, typer.Argument(help="The event's id.")],
    model: Annotated[str | None, typer.Option(help="Only this model; default: all.")] = None,
    since: Since = None,
    until: Until = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show where a prediction comes from: message, features, version, run, decision.

    --since and --until are event times; on a large store they spare the search of all of it.
    """
    from driftline.config import load
    from driftline.storage.log.lineage import explain as find

    found = find(load(config), event_id, model, since=_utc(since), until=_utc(until))
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=str))
        return
    for one in found:
        table = Table("", "", title=f"{event_id}, {one['model']}", title_justify="left")
        for part in ("prediction", "message", "features", "version", "decision"):
            table.add_section()
            for name, value in (one[part] or {}).items():
                table.add_row(f"{part} {name}", Text("" if value is None else str(value)))
        for part in ("shadows", "labels"):
            table.add_section()
            for row in one[part]:
                table.add_row(part[:-1], Text(", ".join(f"{k} {v}" for k, v in row.items())))
        out.print(table)


def republish(
    model: ModelName,
    since: Since = None,
    until: Until = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the predictions that the topic has.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="The job has ended: also what it has just scored.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Publish the stored predictions that the output topic lacks.

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
    _say({"published": count}, as_json)


def compact(
    model: Annotated[
        str | None, typer.Argument(help="A model of the config; all by default.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Merge old profile and ledger rows; drop rows and verdicts that are older than they may be."""
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
        kept = min(settings.burn_in, blocks.longest(60 * minutes)) + _CHECKED
        with blockers.patient(loaded.local_postgres(), "write") as connection:
            merged = profile_rows.compact(connection, name, minutes=minutes, kept=kept)
            days = compaction.compact(connection, name)
        counts = {"profile_rows": merged.before, "merged_to": merged.after, "ledger_days": days}
        _say({"model": name, **counts}, as_json)
    with blockers.patient(loaded.local_postgres(), "write") as connection:
        expired = verdicts.expire(connection, loaded.storage.keep_verdicts)
        expired += dirty_minutes.expire(connection, datetime.now(UTC) - _UNSEEN)
    if expired:
        _say({"expired_results": expired}, as_json)
    dropped = schema.expire(loaded)
    if dropped:
        _say({"dropped_chunks": len(dropped)}, as_json)


@rejected.command("list")
def rejected_list(
    model: ModelName,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=0, help="The newest so many.")] = 20,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show rejected messages: how many for each reason, and the newest ones."""
    from driftline.config import load
    from driftline.storage.connection import connect
    from driftline.storage.log.rejected import counts, find

    loaded = load(config)
    loaded.model(model)
    which = _filter(reason, since, until)
    with connect(loaded.local_postgres(), "read") as connection:
        reasons = counts(connection, model, which)
        messages = find(connection, model, which, limit)
    if as_json:
        keys = ("stream", "reason", "messages", "replayed")
        content = {
            "reasons": [dict(zip(keys, one, strict=True)) for one in reasons],
            "messages": [_plain(message) for message in messages],
        }
        out.print_json(json.dumps(content))
        return
    summary = Table("stream", "reason", "messages", "sent again")
    for stream, why, number, replayed in reasons:
        summary.add_row(stream, Text(why), f"{number:,}", f"{replayed:,}")
    out.print(summary, _messages(messages))


@rejected.command("replay")
def rejected_replay(
    model: ModelName,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also those that were sent again before.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Send rejected messages to their topic again, after the cause is mended."""
    from driftline.config import load
    from driftline.storage.log.rejected import replay

    loaded = load(config)
    loaded.model(model)
    done = replay(loaded, model, _filter(reason, since, until), again=again)
    _say({"sent": done.sent, "without_value": done.empty}, as_json)


def _utc(time: datetime | None) -> datetime | None:
    if time is None or time.tzinfo is not None:
        return time
    return time.replace(tzinfo=UTC)


def _filter(reason: str | None, since: datetime | None, until: datetime | None) -> "Filter":
    from driftline.storage.log.rejected import Filter

    return Filter(reason, _utc(since), _utc(until))


def _say(facts: dict[str, object], as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps(facts))
    else:
        out.print(", ".join(f"{key.replace('_', ' ')} {fact}" for key, fact in facts.items()))


def _messages(messages: "list[Rejected]") -> Table:
    table = Table("rejected", "position", "reason", "detail", "payload", "sent again")
    for one in messages:
        table.add_row(
            f"{one.rejected_at:%Y-%m-%d %H:%M:%S}",
            Text(f"{one.topic}[{one.partition}]:{one.offset}"),
            Text(one.reason),
            Text(one.detail),
            Text("" if one.payload is None else repr(one.payload[:60])[2:-1]),
            "" if one.replayed_at is None else f"{one.replayed_at:%Y-%m-%d %H:%M:%S}",
        )
    return table


def _plain(message: "Rejected") -> dict[str, object]:
    """As JSON: times in ISO form, the payload as text with escapes for what is none."""
    facts = dataclasses.asdict(message)
    for key, fact in facts.items():
        if isinstance(fact, datetime):
            facts[key] = fact.isoformat()
    if message.payload is not None:
        facts["payload"] = message.payload.decode(errors="backslashreplace")
    return facts
