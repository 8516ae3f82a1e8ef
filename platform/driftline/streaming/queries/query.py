"""Feature queries in Flink SQL: the check that they only enrich, and the SQL around them."""

import re
from collections.abc import Mapping
from datetime import timedelta

import sqlglot
from sqlglot import exp

from driftline import names
from driftline.config import EventFieldType, FieldType, Input, Model, Query
from driftline.errors import ConfigError

_HIGHLIGHT = re.compile(r"\x1b\[\d+m")  # the parser underlines what it means
# The clauses that neither drop nor merge nor multiply events.
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
    """See that a query gives exactly one row an event, with what it says it adds.

    It must read `SELECT *, <expression> AS <column>, ... FROM events`, with windows over events
    (`OVER`) as the only aggregates. To leave events out, it adds a boolean column `keep`.

    Raises:
        ConfigError: naming the clause, or the columns that differ from the declared ones.

    >>> check(Query(query="SELECT *, amount * 2 AS twice FROM events", columns={"twice": "float"}))
    """
    select = _parsed(query.query)
    for part in (part for part, found in select.args.items() if found and part not in _ALLOWED):
        raise ConfigError(
            f"the feature query has {_NAMES.get(part, part.upper())}: it must give exactly one row "
            f"an event; add a boolean column {names.KEEP!r} to leave events out"
        )
    if len(list(select.find_all(exp.Query))) > 1:
        raise ConfigError("the feature query has a query inside: only one SELECT FROM events")
    _check_source(select)
    _check_aggregates(select)
    _check_columns(select, set(query.columns))


def _parsed(text: str) -> exp.Select:
    try:
        statements = sqlglot.parse(text, dialect="spark")  # the nearest: backticks quote names
    except sqlglot.errors.SqlglotError as error:
        reason = _HIGHLIGHT.sub("", str(error))
        raise ConfigError(f"can't read the feature query: {reason}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        raise ConfigError("the feature query must be one SELECT")
    return statements[0]


def _check_source(select: exp.Select) -> None:
    tables = list(select.find_all(exp.Table))
    if [table.name for table in tables if _is_plain(table)] != ["events"] or len(tables) != 1:
        read = ", ".join(table.sql() for table in tables) or "nothing"
        raise ConfigError(f"the feature query reads {read!r}: only the view 'events', as it is")


def _is_plain(table: exp.Table) -> bool:
    """Not of another schema, not a sample, no time travel, no columns renamed."""
    return {k for k, v in table.args.items() if v} <= {
        "this",
        "alias",
    } and not table.alias_column_names


def _check_aggregates(select: exp.Select) -> None:
    for call in select.find_all(exp.AggFunc):
        if call.find_ancestor(exp.Window) is None:
            raise ConfigError(
                f"the feature query aggregates {call.sql()!r} without OVER: it would merge events"
            )


def _check_columns(select: exp.Select, declared: set[str]) -> None:
    first, *added = select.expressions
    if not isinstance(first, exp.Star) or any(first.args.values()):
        raise ConfigError("the feature query must start with SELECT *, then add columns")
    found = {column.alias for column in added if isinstance(column, exp.Alias)}
    if len(found) != len(added):
        raise ConfigError("each column that the feature query adds needs a name: ... AS name")
    if found != declared:
        raise ConfigError(
            f"the feature query adds {sorted(found)}, features.sql.columns declares "
            f"{sorted(declared)}: make them equal"
        )


# What each field type is in Flink SQL.
SQL_TYPES: dict[FieldType, str] = {
    "int": "BIGINT",
    "float": "DOUBLE",
    "string": "STRING",
    "bool": "BOOLEAN",
}


def typed_columns(query: Query) -> dict[str, str]:
    """The columns that a query adds, in SQL over `enriched`, of the types that are declared.

    >>> doubled = "SELECT *, amount * 2 AS twice FROM events"
    >>> typed_columns(Query(query=doubled, columns={"twice": "float"}))
    {'twice': 'CAST(enriched.`twice` AS DOUBLE)'}
    """
    return {
        column: f"CAST(enriched.`{column}` AS {SQL_TYPES[kind]})"
        for column, kind in query.columns.items()
    }


def null_columns(query: Query) -> dict[str, str]:
    """The same columns where there is nothing to compute them from."""
    return {column: f"CAST(NULL AS {SQL_TYPES[kind]})" for column, kind in query.columns.items()}


def listed(columns: Mapping[str, str]) -> str:
    """Columns of a SELECT, each with a comma before it.

    >>> listed({"a": "1 + 1"})
    ', 1 + 1 AS `a`'
    """
    return "".join(f", {text} AS `{name}`" for name, text in columns.items())


def has_windows(query: Query) -> bool:
    """Whether a feature query looks at more than one event.

    >>> doubled = "SELECT *, amount * 2 AS twice FROM events"
    >>> has_windows(Query(query=doubled, columns={"twice": "float"}))
    False
    """
    return _parsed(query.query).find(exp.Window) is not None


def mentioned_fields(model: Model) -> dict[str, FieldType]:
    """The fields that the feature query mentions beside the time, and their types.

    Raises:
        ConfigError: it mentions a tensor.
    """
    query = model.features.sql
    if query is None:
        return {}
    mentioned = {column.name for column in _parsed(query.query).find_all(exp.Column)}
    kinds: dict[str, EventFieldType] = {names.EVENT_ID: "string"}
    kinds |= {name: field.type for name, field in model.input.fields.items()}
    found: dict[str, FieldType] = {}
    for name, kind in kinds.items():
        if name not in mentioned:
            continue
        if kind == "tensor":
            raise ConfigError(
                f"the feature query mentions {name!r}, a tensor: use it in the transform"
            )
        found[name] = kind
    return found


def accepted_time_expression(settings: Input) -> str:
    """The event time as TIMESTAMP_LTZ(3), NULL where it cannot be read or is not accepted."""
    time = time_expression(settings)
    first, last = _accepted(settings)
    return f"CASE WHEN {time} >= {first} AND {time} <= {last} THEN {time} END"


def time_expression(settings: Input) -> str:
    """The event time as TIMESTAMP_LTZ(3), NULL where it cannot be read."""
    text = _json_text(settings.event_time)
    if settings.time_format == "iso8601":
        return _iso_expression(text)
    factor = {"epoch_s": 1_000.0, "epoch_ms": 1.0, "epoch_us": 0.001}[settings.time_format]
    millis = f"TRY_CAST({text} AS DOUBLE) * {factor}"
    # Flink holds no time beyond the year 9999
    return (
        f"CASE WHEN ABS({millis}) < 2.0E14 THEN TO_TIMESTAMP_LTZ(CAST({millis} AS BIGINT), 3) END"
    )


def _json_text(key: str) -> str:
    path = key.replace("'", "''")
    return f"JSON_VALUE(CAST({names.BODY} AS STRING), '$[''{path}'']')"


def _iso_expression(text: str) -> str:
    """Flink casts no zone, so the offset is taken off by hand; minutes may be left out."""
    parts = r"'^(\d{4}-\d\d-\d\d)[T ](\d\d)(:\d\d)?(:\d\d(\.\d+)?)?'"
    day, hour, minute, second = (f"REGEXP_EXTRACT({text}, {parts}, {n})" for n in range(1, 5))
    local = f"{day} || ' ' || {hour} || COALESCE({minute}, ':00') || COALESCE({second}, ':00')"
    zone = r"'[T ].*([+-]\d\d):?(\d\d)?$'"
    hours, minutes = (f"TRY_CAST(REGEXP_EXTRACT({text}, {zone}, {n}) AS INT)" for n in (1, 2))
    sign = f"CASE WHEN REGEXP({text}, '-\\d\\d:?\\d*$') THEN -1 ELSE 1 END"
    east = f"COALESCE({hours} * 60 + {sign} * COALESCE({minutes}, 0), 0)"
    zoned = f"TRY_CAST({local} AS TIMESTAMP(3)) - ({east}) * INTERVAL '1' MINUTE"
    # nearly all times end in Z or have no zone, and each mention of `text` parses the JSON again
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
    """Days and seconds by themselves: Flink adds at most 2**31 of a unit."""
    if duration.days:
        time = f"TIMESTAMPADD(DAY, {sign * duration.days}, {time})"
    if duration.seconds:
        time = f"TIMESTAMPADD(SECOND, {sign * duration.seconds}, {time})"
    if millis := duration.microseconds // 1_000:
        time = f"{time} {'+-'[sign < 0]} INTERVAL '0.{millis:03}' SECOND(1, 3)"
    return time
