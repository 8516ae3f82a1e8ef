"""The types that sections of `driftline.yaml` are made of: durations, secrets, paths, names."""

import os
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlparse, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from driftline.errors import ConfigError

# in microseconds
_UNITS = {"ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_RESOLUTION = timedelta(microseconds=1)
_LONGEST = timedelta(days=700_000)  # Kafka's times less that are still of this era
SECRET_KEY = re.compile("pass|secret|token|jaas|header", re.IGNORECASE)
BAD_REFERENCE = "bad_reference"  # pydantic's type of the error
LOGIN_KEY = re.compile("auth|cookie|key|pass|secret|token", re.IGNORECASE)
# Characters that JSON, JSON paths and SQL would each have to escape in their own way.
_KEY = re.compile(r"""^[^"'`\\\x00-\x1f]+$""")
# Becomes part of paths, of addresses and of MLflow's search filters.
_PART = re.compile(r"""[^/\\:"'`\x00-\x1f\x7f]+""")
_LONGEST_PART = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# For messages, dashboards and Grafana's templates: nothing that HTML, Markdown or these would read.
_WEB_LINK = re.compile(r"""^https?://[^@\s<>"'`{}|\\^\x00-\x1f\x7f]+$""")
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)\s*$")


def parse_duration(text: object) -> timedelta:
    """`"250 ms"`, `"10s"`, `"1 min"`, `"2 h"` or `"7 d"` as a timedelta.

    >>> parse_duration("1.5 h")
    datetime.timedelta(seconds=5400)
    """
    if isinstance(text, timedelta):
        return text
    match = _DURATION.match(str(text))
    if match is None:
        raise ValueError("must be a number and a unit (ms, s, min, h or d), such as '10 s'")
    microseconds = Decimal(match[1]) * _UNITS[match[2]]
    if microseconds > _LONGEST // _RESOLUTION:
        raise ValueError(f"must not exceed {_LONGEST.days} d")
    return timedelta(microseconds=round(microseconds))


def written(duration: timedelta) -> str:
    seconds, microseconds = divmod(duration // _RESOLUTION, 1_000_000)
    digits = f"{seconds}.{microseconds:06}".rstrip("0").rstrip(".")
    return f"{digits} s"


def _positive(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("must be greater than 0 s")
    return duration


def days_of_two_digits(duration: timedelta) -> timedelta:
    if duration.days > 99:
        raise ValueError("must be less than 100 d")
    return duration


def _key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise ValueError("must not contain quotes, backslashes or control characters")
    return value


def _web_link(value: str) -> str:
    if not _WEB_LINK.fullmatch(value):
        raise ValueError(
            "must be an http or https URL without credentials, spaces, quotes, braces or < >"
        )
    return value


def _identifier(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,58}", value):
        raise ValueError(
            "must be lower-case letters, digits and _, starting with a letter, "
            "at most 59 characters"
        )
    return value


def _part(value: str) -> str:
    if not _PART.fullmatch(value) or not value.strip(". ") or len(value.encode()) > _LONGEST_PART:
        raise ValueError(
            f"must be a valid file name of at most {_LONGEST_PART} bytes, without slashes, colons, "
            "quotes and control characters"
        )
    return value


def _topic(value: str) -> str:
    if value in {".", ".."}:
        raise ValueError("must not be '.' or '..'")
    return value


def checked_address(value: str) -> str:
    """An address with a valid host and port; clients fail on others with unclear errors."""
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port beyond 65535, half an IPv6 address
        usable = False
    if not usable:
        raise ValueError("must be an address such as https://host:port")
    return value


def _located(value: Path, info: ValidationInfo) -> Path:
    """A path, relative to the folder of the config file."""
    if _CONTROL.search(str(value)):
        raise ValueError("must not contain control characters")
    folder = (info.context or {}).get("folder")
    return value if folder is None else Path(os.path.abspath(folder / value))


def located_uri(value: str, info: ValidationInfo) -> str:
    return value if urlparse(value).scheme else str(_located(Path(value), info))


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(written, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern, "examples": ["10 s"]}),
]
WebLink = Annotated[
    str,
    AfterValidator(_web_link),
    WithJsonSchema({"type": "string", "pattern": _WEB_LINK.pattern}),
]
Identifier = Annotated[str, AfterValidator(_identifier)]
Wait = Annotated[Duration, AfterValidator(_positive)]
Located = Annotated[Path, AfterValidator(_located)]
Key = Annotated[
    str, AfterValidator(_key), WithJsonSchema({"type": "string", "pattern": _KEY.pattern})
]
Share = Annotated[float, Field(ge=0, le=1)]
ModelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$"), AfterValidator(_topic)]
PathPart = Annotated[str, AfterValidator(_part)]
Instant = Annotated[datetime, AfterValidator(_utc)]


class Settings(BaseModel):
    """Base of every section: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Secret(Settings):
    """A reference to a password: the name of an environment variable, or a file."""

    env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    file: Located | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("must have exactly one of env and file")
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _names_no_value(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """One error for all that can be wrong, by whose type the value is known to be secret."""
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError(
                BAD_REFERENCE,
                "a secret must be a reference: give exactly one of env and file, as "
                "{env: NAME} or {file: PATH}",
            ) from None

    def read(self, lines: bool = False) -> str:
        """The password itself.

        Parameters:
            lines: allow line breaks, as in a PEM key that is never put into a header or address.

        Raises:
            ConfigError: the variable is not set, or the file cannot be read.
        """
        if self.file is None:
            return _usable(self._from_environment(), f"environment variable {self.env!r}", lines)
        try:
            return _usable(self.file.read_text().strip(), repr(str(self.file)), lines)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"can't read the secret in {str(self.file)!r}: {error}") from error

    def _from_environment(self) -> str:
        value = os.environ.get(self.env or "")
        if value is None:
            raise ConfigError(f"environment variable {self.env!r} is not set: export it")
        return value


def _usable(secret: str, place: str, lines: bool) -> str:
    """The secret; one with a line break is refused: libraries repeat such headers in errors."""
    if _CONTROL.search(secret.replace("\n", "") if lines else secret):
        raise ConfigError(f"the secret in {place} has a line break or control character: remove it")
    return secret
