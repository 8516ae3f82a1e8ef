"""Variables and macros of a panel's SQL, expanded as Grafana expands them for TimescaleDB.

Grafana's frontend replaces the variables, its server the macros; responses of a real server are
in `tests/data/grafana/11_ds_query.json`. Here a single pass does both, so that the value of a
variable is never expanded itself.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from driftline.errors import DriftlineError

Value = str | Sequence[str]

# A macro's arguments end at the first parenthesis: Grafana's own rule.
_TOKEN = re.compile(
    r"\$(?P<macro>__[A-Za-z]+)\((?P<arguments>[^)]*)\)"
    r"|\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}"
    r"|\$(?P<plain>[A-Za-z_]\w*)"
)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")


class MacroError(DriftlineError):
    """A query uses a macro that Grafana does not know, or with wrong arguments."""


def expand(
    sql: str,
    time_from: datetime,
    time_to: datetime,
    interval: timedelta,
    variables: Mapping[str, Value],
) -> str:
    """Return the statement that Grafana would send to the database.

    Parameters:
        sql: the panel's `rawSql`.
        time_from, time_to: time range of the dashboard.
        interval: time per point of the panel, `$__interval`.
        variables: values by name, a list for multi-value variables. `${name:sqlstring}` quotes
            them, `$name` quotes a list and escapes a single value. Unknown names are kept.

    Raises:
        MacroError: a macro is unknown or an argument is missing.

    >>> hour = timedelta(hours=1)
    >>> start = datetime(2024, 1, 1, tzinfo=UTC)
    >>> query = "WHERE $__timeFilter(t) AND model = ${model:sqlstring}"
    >>> expand(query, start, start + hour, hour, {"model": "it's"})
    "WHERE t BETWEEN '2024-01-01T00:00:00Z' AND '2024-01-01T01:00:00Z' AND model = 'it''s'"
    """
    milliseconds = max(1, round(interval.total_seconds() * 1000))
    built_in = {"__interval": _interval(milliseconds), "__interval_ms": str(milliseconds)}

    def variable(match: re.Match[str]) -> str:
        name = match["braced"] or match["plain"]
        if name in built_in:
            return built_in[name]
        return _formatted(variables[name], match["format"]) if name in variables else match[0]

    def token(match: re.Match[str]) -> str:
        if match["macro"] is None:
            return variable(match)
        arguments = _TOKEN.sub(variable, match["arguments"])
        return _macro(match["macro"], _split(arguments), time_from, time_to)

    return _TOKEN.sub(token, sql)


def quoted(value: str) -> str:
    """Return a text as an SQL string literal.

    >>> quoted("it's")
    "'it''s'"
    """
    return "'" + value.replace("'", "''") + "'"


def _formatted(value: Value, style: str | None) -> str:
    if style == "sqlstring" or (style is None and not isinstance(value, str)):
        values = [value] if isinstance(value, str) else value
        return ",".join(map(quoted, values))
    text = value if isinstance(value, str) else ",".join(value)
    return text if style == "raw" else text.replace("'", "''")


def _split(arguments: str) -> list[str]:
    return [argument.strip() for argument in arguments.split(",")]


def _macro(name: str, arguments: list[str], start: datetime, end: datetime) -> str:
    column = arguments[0]
    seconds = int(start.timestamp()), int(end.timestamp())
    simple = {
        "__time": f'{column} AS "time"',
        "__timeFilter": f"{column} BETWEEN {_instant(start)} AND {_instant(end)}",
        "__timeFrom": _instant(start),
        "__timeTo": _instant(end),
        "__unixEpochFilter": f"{column} >= {seconds[0]} AND {column} <= {seconds[1]}",
        "__unixEpochFrom": str(seconds[0]),
        "__unixEpochTo": str(seconds[1]),
    }
    if name in simple:
        return simple[name]
    if name not in {"__timeGroup", "__timeGroupAlias"}:
        raise MacroError(f'interpolation failed: unknown macro "{name}"')
    if len(arguments) < 2:
        raise MacroError(
            f"interpolation failed: macro {name} needs time column and interval and "
            "optional fill value"
        )
    bucket = f"time_bucket('{_seconds(arguments[1]):.3f}s',{column})"
    return f'{bucket} AS "time"' if name == "__timeGroupAlias" else bucket


def _instant(time: datetime) -> str:
    """A quoted time in RFC 3339, without trailing zeros.

    >>> _instant(datetime(2024, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC))
    "'2024-01-01T00:00:00.25Z'"
    """
    utc = time.astimezone(UTC)
    decimals = f".{utc.microsecond:06}".rstrip("0").rstrip(".")
    return f"'{utc:%Y-%m-%dT%H:%M:%S}{decimals}Z'"


def _interval(milliseconds: int) -> str:
    """A duration in the largest unit that fits, rounded down.

    >>> _interval(1_200_000), _interval(5_400_000), _interval(20)
    ('20m', '1h', '20ms')
    """
    for unit in ("y", "d", "h", "m", "s"):
        if milliseconds >= (length := round(_UNITS[unit] * 1000)):
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms"


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text.strip("'\""))
    if match is None:
        raise MacroError(f"error parsing interval {text}")
    return int(match[1]) * _UNITS[match[2]]
