"""`driftline send` and `driftline labels import`; heavy imports stay in the functions."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from driftline.cli.console import console, print_json, print_line
from driftline.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, ModelName, duration
from driftline.errors import DriftlineError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from driftline.config import Config, Input

labels = typer.Typer(help="Send delayed labels.", no_args_is_help=True)

_KAFKA_TIMEOUT = 5.0  # seconds

NoCheck = Annotated[
    bool, typer.Option("--no-check", help="Send messages even if the job would reject them.")
]


def send(
    model: ModelName,
    file: Annotated[
        Path | None, typer.Argument(help="File with one event per line; '-' for standard input.")
    ] = None,
    event: Annotated[str | None, typer.Option(help="One event, as JSON.")] = None,
    generate: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Generate N events.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Draw generated values from this file of events. Default: by type."),
    ] = None,
    drift: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=CHANGE",
            help="Change a field of generated events: amount=*1.5, amount=+10, country=FR, "
            "country=null, each optionally for a share of the events: country=FR@20%.",
        ),
    ] = None,
    over: Annotated[
        str, typer.Option(help="Spread generated event times over this time, until now.")
    ] = "1 h",
    seed: Annotated[int | None, typer.Option(help="Seed of generated values.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Events per second. Default: no limit.")
    ] = None,
    no_check: NoCheck = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Send events to a model's input topic: one, a file of them, or generated ones.

    Events are checked first, as the job would check them; if it would reject one, none is sent.
    """
    from driftline.config import load
    from driftline.sending import messages
    from driftline.sending.generate import generate as generated
    from driftline.sending.generate import parse_drift

    if sum(source is not None for source in (file, event, generate)) != 1:
        raise DriftlineError("give one of: a FILE, --event JSON or --generate N")
    if generate is None and (like or drift or seed is not None):
        raise DriftlineError("--like, --drift and --seed only apply to --generate N")
    loaded = load(config)
    section = loaded.model(model).input
    chunks: Callable[[], Iterable[Sequence[bytes]]]
    if generate is not None:
        now, drifts = datetime.now(UTC), [parse_drift(text, section) for text in drift or ()]
        chunks = lambda: generated(  # noqa: E731 - read twice: to check, then to send
            section,
            generate,
            now - duration(over, "--over"),
            now,
            drifts=drifts,
            sample=None if like is None else _events(section, like),
            seed=seed if seed is not None else int(now.timestamp() * 1e6),
        )
        where = "generated events"
    elif event is not None:
        chunks, where = (lambda: [[event.encode()]]), "--event"
    else:
        chunks, where = _file(file or Path("-"))
    total = None
    if not no_check:
        total = messages.require_valid(section, chunks(), where)
    with _progress(total) as sent:
        count = messages.send(
            loaded.local_kafka(), _existing(loaded, section.topic), chunks(), rate=rate, sent=sent
        )
    if as_json:
        print_json({"topic": section.topic, "sent": count})
    else:
        print_line(f"sent {count:,} events to topic {section.topic!r}")


@labels.command("import")
def labels_import(
    model: ModelName,
    file: Annotated[
        Path,
        typer.Argument(
            help="Parquet, CSV or JSON lines file; its columns are the keys of the labels section."
        ),
    ],
    no_check: NoCheck = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Send a file of labels to a model's label topic.

    A file without a column for the label time gives every label the current time. Importing a file
    with label times again changes nothing.
    """
    from driftline.config import load
    from driftline.sending import label_file, messages
    from driftline.streaming.scoring.labels import as_input

    loaded = load(config)
    section = loaded.model(model).labels
    if section is None:
        raise DriftlineError(f"model {model!r} has no labels section: add one to {config}")
    table, now = label_file.read(file), datetime.now(UTC)
    total = None
    if not no_check:
        checked = label_file.messages(section, table, now)
        total = messages.require_valid(as_input(section), checked, str(file))
    with _progress(total) as sent:
        count = messages.send(
            loaded.local_kafka(),
            _existing(loaded, section.topic),
            label_file.messages(section, table, now),
            sent=sent,
        )
    if as_json:
        print_json({"topic": section.topic, "sent": count})
    else:
        print_line(f"sent {count:,} labels to topic {section.topic!r}")


def _file(path: Path) -> "tuple[Callable[[], Iterator[list[bytes]]], str]":
    """A file's lines, to be read twice, and what to call it."""
    from driftline.sending import messages

    if str(path) == "-":
        content = sys.stdin.buffer.read()
        return (lambda: messages.lines(BytesIO(content))), "standard input"
    return (lambda: messages.lines_of(path)), str(path)


def _events(section: "Input", path: Path) -> "pa.Table":
    """The decoded events of a file, of any time; rejected ones are left out."""
    import numpy as np
    import pyarrow as pa

    from driftline.sending.messages import lines_of
    from driftline.streaming.scoring.decode import DECODERS
    from driftline.streaming.scoring.rejects import Rejects

    ever = section.accept.model_copy(
        update={
            "since": datetime(1, 1, 2, tzinfo=UTC),
            "until": datetime(9999, 12, 30, tzinfo=UTC),
        }
    )
    decode = DECODERS[section.decoder](section.model_copy(update={"accept": ever}))
    batches = [
        decode(chunk, np.full(len(chunk), np.datetime64("now", "us")), Rejects(chunk)).events
        for chunk in lines_of(path)
    ]
    table = pa.Table.from_batches(batches, schema=decode.schema)
    if not len(table):
        raise DriftlineError(f"{str(path)!r} has no valid event to draw from")
    return table


def _existing(config: "Config", topic: str) -> str:
    """The topic, if the broker has it."""
    from driftline.kafka.client_settings import topics

    if topic not in topics(config.local_kafka(), _KAFKA_TIMEOUT):
        raise DriftlineError(f"topic {topic!r} does not exist: run 'driftline topics create'")
    return topic


@contextmanager
def _progress(total: int | None) -> "Iterator[Callable[[int], object]]":
    """A progress bar on a terminal, which is removed at the end."""
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn())
    shown = console()
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task("sending", total=total)
        yield lambda count: bar.update(task, completed=count)
