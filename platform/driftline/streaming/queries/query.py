"""Feature queries in Flink SQL: checks that they only add columns, and the SQL around them."""

import re
from collections.abc import Mapping
from datetime import timedelta

import sqlglot
from sqlglot import exp

from driftline import names
from driftline.config import EventFieldType, FieldType, Input, Model, Query
from driftline.errors import ConfigError

_HIGHLIGHT = re.compile(r"\x1b\[\d+m")  # terminal codes in the parser's errors
# Clauses that cannot drop, merge or duplicate events.
_ALLOWED = {"expressions", "from_", "from", "windows"}
_NAMES = {
    "group": "GROUP BY",
    "order": "ORDER BY",
    "joins": "JOIN",
    "laterals": "LATERAL",
    "match": "MATCH_RECOGNIZE",
    "with_": "WITH",
}


def check(query: Query) -> None:
    """Check that a query returns exactly one row per event, with the declared columns.

    It must have the form `SELECT *, <expression> AS <column>, ... FROM events`, with windows over
    events (`OVER`) as the only aggregates. To filter events, add a boolean column `keep`.

    Raises:
        ConfigError: with the clause that is not allowed, or the columns that differ.

    >>> check(Query(query="SELECT *, amount * 2 AS twice FROM events", columns={"twice": "float"}))
    """
    select = _parsed(query.query)
    for part in (part for part, value in select.args.items() if value and part not in _ALLOWED):
        raise ConfigError(
            f"the feature query has {_NAMES.get(part, part.upper())}: it must return exactly one "
            f"row per event; to filter events, add a boolean column {names.KEEP!r}"
        )
    if len(list(select.find_all(exp.Query))) > 1:
        raise ConfigError("the feature query has a subquery: use a single SELECT FROM events")
    _check_source(select)
    _check_aggregates(select)
    _check_columns(select, set(query.columns))


def _parsed(text: str) -> exp.Select:
    try:
        statements = sqlglot.parse(text, dialect="spark")  # nearest to Flink: backticks quote names
    except sqlglot.errors.SqlglotError as error:
        reason = _HIGHLIGHT.sub("", str(error))
        raise ConfigError(f"can't parse the feature query: {reason}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        raise ConfigError("the feature query must be a single SELECT")
    return statements[0]


def _check_source(select: exp.Select) -> None:
    tables = list(select.find_all(exp.Table))
    if [table.name for table in tables if _is_plain(table)] != ["events"] or len(tables) != 1:
        read = ", ".join(table.sql() for table in tables) or "nothing"
        raise ConfigError(f"the feature query reads {read!r}: it may read only 'events', unchanged")


def _is_plain(table: exp.Table) -> bool:
    """Whether a table is read without schema, sampling, time travel or renamed columns."""
    return {k for k, v in table.args.items() if v} <= {
        "this",
        "alias",
    } and not table.alias_column_names


def _check_aggregates(select: exp.Select) -> None:
    for call in select.find_all(exp.AggFunc):
        if call.find_ancestor(exp.Window) is None:
            raise ConfigError(
                f"the feature query merges events by {call.sql()!r}: use it with OVER"
            )


def _check_columns(select: exp.Select, declared: set[str]) -> None:
    first, *added = select.expressions
    if not isinstance(first, exp.Star) or any(first.args.values()):
        raise ConfigError("the feature query must start with SELECT *, then add columns")
    aliases = {column.alias for column in added if isinstance(column, exp.Alias)}
    if len(aliases) != len(added):
        raise ConfigError("each column that the feature query adds needs its own name: ... AS name")
    if aliases != declared:
        raise ConfigError(
            f"the feature query adds {sorted(aliases)}, but features.sql.columns declares "
            f"{sorted(declared)}: make them equal"
        )


# Field types in Flink SQL.
SQL_TYPES: dict[FieldType, str] = {
    "int": "BIGINT",
    "float": "DOUBLE",
    "string": "STRING",
    "bool": "BOOLEAN",
}


def typed_columns(query: Query) -> dict[str, str]:
    """SQL of the columns that a query adds, read from `enriched` and cast to their declared types.

    >>> doubled = "SELECT *, amount * 2 AS twice FROM events"
    >>> typed_columns(Query(query=doubled, columns={"twice": "float"}))
    {'twice': 'CAST(enriched.`twice` AS DOUBLE)'}
    """
    return {
        column: f"CAST(enriched.`{column}` AS {SQL_TYPES[kind]})"
        for column, kind in query.columns.items()
    }


def null_columns(query: Query) -> dict[str, str]:
    """SQL of the same columns as NULL, for rows that the query does not see."""
    return {column: f"CAST(NULL AS {SQL_TYPES[kind]})" for column, kind in query.columns.items()}


def listed(columns: Mapping[str, str]) -> str:
    """Columns of a SELECT, each preceded by a comma.

    >>> listed({"a": "1 + 1"})
    ', 1 + 1 AS `a`'
    """
    return "".join(f", {text} AS `{name}`" for name, text in columns.items())


def has_windows(query: Query) -> bool:
    """Whether a feature query uses windows over events.

    >>> doubled = "SELECT *, amount * 2 AS twice FROM events"
    >>> has_windows(Query(query=doubled, columns={"twice": "float"}))
    False
    """
    return _parsed(query.query).find(exp.Window) is not None


def mentioned_fields(model: Model) -> dict[str, FieldType]:
    """The fields that the feature query mentions, except the time, and their types.

    Raises:
        ConfigError: it mentions a tensor.
    """
    query = model.features.sql
    if query is None:
        return {}
    mentioned = {column.name for column in _parsed(query.query).find_all(exp.Column)}
    kinds: dict[str, EventFieldType] = {names.EVENT_ID: "string"}
    kinds |= {name: field.type for name, field in model.input.fields.items()}
    fields: dict[str, FieldType] = {}
    for name, kind in kinds.items():
        if name not in mentioned:
            continue
        if kind == "tensor":
            raise ConfigError(
                f"the feature query reads {name!r}, a tensor: use it in the transform instead"
            )
        fields[name] = kind
    return fields


def accepted_time_expression(settings: Input) -> str:
    """SQL of the event time as TIMESTAMP_LTZ(3), NULL if it is unreadable or not accepted."""
    time = time_expression(settings)
    first, last = _accepted(settings)
    return f"CASE WHEN {time} >= {first} AND {time} <= {last} THEN {time} END"


def time_expression(settings: Input) -> str:
    """SQL of the event time as TIMESTAMP_LTZ(3), NULL if it is unreadable."""
    text = _json_text(settings.event_time)
    if settings.time_format == "iso8601":
        return _iso_expression(text)
    factor = {"epoch_s": 1_000.0, "epoch_ms": 1.0, "epoch_us": 0.001}[settings.time_format]
    millis = f"TRY_CAST({text} AS DOUBLE) * {factor}"
    # Flink's times end with the year 9999
    return (
        f"CASE WHEN ABS({millis}) < 2.0E14 THEN TO_TIMESTAMP_LTZ(CAST({millis} AS BIGINT), 3) END"
    )


def _json_text(key: str) -> str:
    path = key.replace("'", "''")
    return f"JSON_VALUE(CAST({names.BODY} AS STRING), '$[''{path}'']')"


def _iso_expression(text: str) -> str:
    """SQL that subtracts the zone's offset, which Flink's CAST does not; minutes are optional."""
    parts = r"'^(\d{4}-\d\d-\d\d)[T ](\d\d)(:\d\d)?(:\d\d(\.\d+)?)?'"
    day, hour, minute, second = (f"REGEXP_EXTRACT({text}, {parts}, {n})" for n in range(1, 5))
    local = f"{day} || ' ' || {hour} || COALESCE({minute}, ':00') || COALESCE({second}, ':00')"
    zone = r"'[T ].*([+-]\d\d):?(\d\d)?$'"
    hours, minutes = (f"TRY_CAST(REGEXP_EXTRACT({text}, {zone}, {n}) AS INT)" for n in (1, 2))
    sign = f"CASE WHEN REGEXP({text}, '-\\d\\d:?\\d*$') THEN -1 ELSE 1 END"
    east = f"COALESCE({hours} * 60 + {sign} * COALESCE({minutes}, 0), 0)"
    zoned = f"TRY_CAST({local} AS TIMESTAMP(3)) - ({east}) * INTERVAL '1' MINUTE"
    # tried first: nearly all times end in Z or have no zone, and each use of `text` parses the JSON
    plain = f"TRY_CAST(REPLACE(REPLACE({text}, 'T', ' '), 'Z', '') AS TIMESTAMP(3))"
    return f"CAST(COALESCE({plain}, {zoned}) AS TIMESTAMP_LTZ(3))"


def _accepted(settings: Input) -> tuple[str, str]:
    accept = settings.accept
    if accept.since is not None and accept.until is not None:
        return tuple(  # type: ignore[return-value]
            f"TO_TIMESTAMP_LTZ({int(instant.timestamp() * 1_000)}, 3)"
            for instant in (accept.since, accept.until)
        )
    return _shifted("kafka_time", -1, accept.past), _shifted("kafka_time", 1, accept.future)


def _shifted(time: str, sign: int, duration: timedelta) -> str:
    """SQL that adds a duration, in days and seconds: Flink adds at most 2**31 of a unit."""
    if duration.days:
        time = f"TIMESTAMPADD(DAY, {sign * duration.days}, {time})"
    if duration.seconds:
        time = f"TIMESTAMPADD(SECOND, {sign * duration.seconds}, {time})"
    if millis := duration.microseconds // 1_000:
        time = f"{time} {'+-'[sign < 0]} INTERVAL '0.{millis:03}' SECOND(1, 3)"
    return time
