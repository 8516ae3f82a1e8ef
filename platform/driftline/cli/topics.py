"""`driftline topics create | check`; heavy imports stay in the functions."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from driftline.cli.console import console
from driftline.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, duration

if TYPE_CHECKING:
    from driftline.config import Config
    from driftline.kafka.model_topics import NeededTopic, TopicSettings

topics = typer.Typer(help="Create and check the models' Kafka topics.", no_args_is_help=True)
out = console()

Models = Annotated[
    list[str] | None, typer.Argument(metavar="[MODEL]...", help="Model names. Default: all models.")
]


@topics.command("create")
def create_topics(
    models: Models = None,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Number of partitions. Default: the broker's.")
    ] = None,
    replication: Annotated[
        int | None, typer.Option(min=1, help="Replication factor. Default: the broker's.")
    ] = None,
    retention: Annotated[
        str | None, typer.Option(help="How long to keep records, such as '14 d'.")
    ] = None,
    max_message_size: Annotated[
        int | None, typer.Option(min=1, help="Largest message in bytes. Default: the broker's.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only show what would be created; exit code 2 if any.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Create the missing topics for events, predictions and labels.

    Existing topics are never changed; settings that differ from the options are listed.
    """
    from driftline.config import load
    from driftline.kafka import model_topics
    from driftline.kafka.model_topics import TopicSettings

    loaded = load(config)
    kept_for: timedelta | None = None if retention is None else duration(retention, "--retention")
    requested = TopicSettings(partitions, replication, kept_for, max_message_size)
    needed, existing = _topics(loaded, models)
    missing = [topic for topic in needed if topic.name not in existing]
    if not plan:
        model_topics.create(loaded.local_kafka(), [topic.name for topic in missing], requested)
    differing = {
        name: list(model_topics.differences(requested, settings))
        for name, settings in existing.items()
    }
    if as_json:
        content = {
            "missing" if plan else "created": [topic.name for topic in missing],
            "unchanged": differing,
        }
        out.print_json(json.dumps(content))
    else:
        for topic in missing:
            verb = "would create" if plan else "created"
            out.print(f"{verb} {topic.name}: {', '.join(topic.uses)}")
        for name, found in differing.items():
            detail = f", but differs from the options: {'; '.join(found)}" if found else ""
            out.print(f"exists {name}{detail}")
    if plan and missing:
        raise typer.Exit(2)


@topics.command("check")
def check_topics(
    models: Models = None, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Check that the topics exist and lose no record; exit code 1 if one has a problem."""
    from driftline.config import load
    from driftline.kafka.model_topics import problems

    needed, existing = _topics(load(config), models)
    found = {topic.name: list(problems(topic, existing.get(topic.name))) for topic in needed}
    if as_json:
        out.print_json(json.dumps(found))
    else:
        table = Table("topic", "for", "partitions", "replication", "retention", "problem", box=None)
        for topic in needed:
            settings = existing.get(topic.name)
            shown = ("", "", "") if settings is None else _shown(settings)
            table.add_row(topic.name, ", ".join(topic.uses), *shown, "; ".join(found[topic.name]))
        out.print(table)
    if any(found.values()):
        raise typer.Exit(1)


def _topics(
    config: "Config", models: list[str] | None
) -> "tuple[list[NeededTopic], dict[str, TopicSettings]]":
    from driftline.kafka.model_topics import existing_topics, needed_topics

    needed = needed_topics(config, models or config.models)
    return needed, existing_topics(config.local_kafka(), [topic.name for topic in needed])


def _shown(settings: "TopicSettings") -> tuple[str, str, str]:
    from driftline.kafka.model_topics import shown

    return shown(settings.partitions), shown(settings.replication), shown(settings.retention)
