"""Arguments and options that the commands share."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from driftline.errors import DriftlineError

TIME_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
ConfigPath = Annotated[
    Path,
    typer.Option("--config", "-c", help="Path of the config file.", envvar="DRIFTLINE_CONFIG"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Model name in driftline.yaml.")]
VersionNumber = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Version number.")]
OptionalReason = Annotated[str | None, typer.Option("--reason", help="Reason, for the record.")]
Yes = Annotated[bool, typer.Option("--yes", help="Skip confirmation.")]
DEFAULT_CONFIG = Path("driftline.yaml")


def utc(time: datetime) -> datetime:
    """A time without a time zone is UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def duration(text: str, option: str) -> timedelta:
    """The value of an option such as `--for '2 h'`.

    Raises:
        DriftlineError: it is not a duration, or 0 s.
    """
    from driftline.config.types import parse_duration

    try:
        length = parse_duration(text)
    except ValueError as error:
        raise DriftlineError(f"invalid {option} {text!r}: {error}") from None
    if not length:
        raise DriftlineError(f"invalid {option} {text!r}: must be greater than 0 s")
    return length
