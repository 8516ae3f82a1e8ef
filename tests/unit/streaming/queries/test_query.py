"""Which feature queries are accepted, and the SQL around them; Flink judges it in test_topology."""

import pytest

from driftline.config import Input, Query
from driftline.errors import ConfigError
from driftline.streaming.queries.query import accepted_time_expression, check, time_expression

LAST_HOUR = """
    SELECT *,
      COUNT(*) OVER (PARTITION BY origin ORDER BY event_time
        RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS departures,
      AVG(delay) OVER w AS mean_delay
    FROM events
    WINDOW w AS (PARTITION BY origin ORDER BY event_time ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)
"""


def query(text: str, *columns: str) -> Query:
    return Query(query=text, columns=dict.fromkeys(columns or ("x",), "float"))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("SELECT *, a * 2 AS x FROM events", ("x",)),
        ("select *, a * 2 as x from events;", ("x",)),
        ("SELECT *, a AS x, b AS y FROM events AS e", ("y", "x")),
        ("SELECT *, a > 5 AND country <> 'de' AS keep FROM events", ("keep",)),
        ("SELECT *, `order` + 1 AS `x` FROM `events`", ("x",)),
        ("SELECT *, CASE WHEN a > 0 THEN LN(a) END AS x FROM events -- comment", ("x",)),
        ("SELECT *, TIMESTAMPDIFF(MINUTE, event_time, kafka_time) AS x FROM events", ("x",)),
        ("SELECT *, my_function(a, b) AS x FROM events", ("x",)),
        (LAST_HOUR, ("departures", "mean_delay")),
        (
            "SELECT *, SUM(a) FILTER (WHERE a > 1) OVER (ORDER BY event_time) AS x FROM events",
            ("x",),
        ),
        (
            "SELECT *, ROW_NUMBER() OVER (PARTITION BY c ORDER BY event_time) AS x FROM events",
            ("x",),
        ),
        ("SELECT *, a - LAG(a) OVER (PARTITION BY c ORDER BY event_time) AS x FROM events", ("x",)),
    ],
)
def test_accepted(text: str, columns: tuple[str, ...]) -> None:
    check(query(text, *columns))


ONE_ROW = "it must return exactly one row per event; to filter events, add a boolean column 'keep'"


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("SELECT *, a AS x FROM events WHERE a > 1", "WHERE"),
        ("SELECT *, SUM(a) AS x FROM events GROUP BY country", "GROUP BY"),
        ("SELECT *, a AS x FROM events HAVING a > 1", "HAVING"),
        ("SELECT DISTINCT *, a AS x FROM events", "DISTINCT"),
        ("SELECT *, a AS x FROM events LIMIT 5", "LIMIT"),
        ("SELECT *, a AS x FROM events FETCH FIRST 5 ROWS ONLY", "LIMIT"),
        ("SELECT *, a AS x FROM events OFFSET 5", "OFFSET"),
        ("SELECT *, a AS x FROM events ORDER BY a", "ORDER BY"),
        ("SELECT *, a AS x FROM events QUALIFY a > 1", "QUALIFY"),
        ("SELECT *, a AS x FROM events JOIN other ON TRUE", "JOIN"),
        ("SELECT *, a AS x FROM events LEFT JOIN events AS b ON events.a = b.a", "JOIN"),
        ("SELECT *, a AS x FROM events, other", "JOIN"),
        ("SELECT *, a AS x FROM events CROSS JOIN UNNEST(tags) AS t(tag)", "JOIN"),
        ("SELECT *, a AS x FROM events, LATERAL TABLE(f(a)) AS t(b)", "JOIN"),
        ("SELECT *, a AS x FROM events LATERAL VIEW EXPLODE(tags) t AS tag", "LATERAL"),
        ("WITH e AS (SELECT * FROM events) SELECT *, a AS x FROM events", "WITH"),
        ("SELECT *, a AS x FROM events SORT BY a", "SORT"),
        ("SELECT *, a AS x FROM events DISTRIBUTE BY a", "DISTRIBUTE"),
        ("SELECT *, a AS x FROM events CLUSTER BY a", "CLUSTER"),
    ],
)
def test_refused_clauses(text: str, clause: str) -> None:
    with pytest.raises(ConfigError) as error:
        check(query(text))
    assert str(error.value) == f"the feature query has {clause}: {ONE_ROW}"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT *, a AS x FROM (SELECT * FROM events) AS e",
        "SELECT *, (SELECT MAX(a) FROM events) AS x FROM events",
        "SELECT *, a IN (SELECT a FROM events) AS x FROM events",
        "SELECT *, EXISTS (SELECT 1 FROM events) AS x FROM events",
    ],
)
def test_refused_inner_queries(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        check(query(text))
    assert str(error.value) == "the feature query has a subquery: use a single SELECT FROM events"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("SELECT *, a AS x FROM messages", "messages"),
        ("SELECT *, a AS x FROM Events", "Events"),
        ("SELECT *, a AS x FROM other.events", "other.events"),
        ("SELECT *, a AS x FROM events AS e(c, d)", "events AS e(c, d)"),
        (
            "SELECT *, a AS x FROM events TABLESAMPLE (10 PERCENT)",
            "events TABLESAMPLE (10 PERCENT)",
        ),
        (
            "SELECT *, a AS x FROM events FOR SYSTEM_TIME AS OF event_time",
            "events FOR TIMESTAMP AS OF event_time",
        ),
        ("SELECT *, 1 AS x", "nothing"),
    ],
)
def test_refused_sources(text: str, read: str) -> None:
    with pytest.raises(ConfigError) as error:
        check(query(text))
    assert str(error.value) == (
        f"the feature query reads {read!r}: it may read only 'events', unchanged"
    )


@pytest.mark.parametrize("text", ["SUM(a)", "COUNT(*) + 1", "STDDEV_POP(a)", "FIRST_VALUE(a)"])
def test_refused_aggregates(text: str) -> None:
    with pytest.raises(ConfigError, match=": use it with OVER"):
        check(query(f"SELECT *, {text} AS x FROM events"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("SELECT a AS x FROM events", "must start with SELECT *, then add columns"),
        ("SELECT a AS x, * FROM events", "must start with SELECT *, then add columns"),
        ("SELECT events.*, a AS x FROM events", "must start with SELECT *, then add columns"),
        ("SELECT * EXCEPT (b), a AS x FROM events", "must start with SELECT *, then add columns"),
        ("SELECT *, a FROM events", "needs its own name: ... AS name"),
        ("SELECT *, *, a AS x FROM events", "needs its own name: ... AS name"),
        ("SELECT *, a AS x, b AS x FROM events", "needs its own name: ... AS name"),
        (
            "SELECT * FROM events",
            "adds [], but features.sql.columns declares ['x']: make them equal",
        ),
        ("SELECT *, a AS y FROM events", "adds ['y'], but features.sql.columns declares ['x']"),
        ("SELECT *, a AS X FROM events", "adds ['X'], but features.sql.columns declares ['x']"),
        (
            "SELECT *, a AS x, b AS y FROM events",
            "adds ['x', 'y'], but features.sql.columns declares",
        ),
    ],
)
def test_refused_columns(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        check(query(text))
    assert problem in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "DROP TABLE events",
        "INSERT INTO x SELECT * FROM events",
        "SELECT *, a AS x FROM events; SELECT 1",
        "SELECT *, a AS x FROM events UNION ALL SELECT *, a AS x FROM events",
        "(SELECT *, a AS x FROM events)",
        "VALUES (1)",
    ],
)
def test_not_one_select(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^the feature query must be a single SELECT$"):
        check(query(text))


@pytest.mark.parametrize("text", ["SELEC * FROM events", "SELECT *, 'a FROM events", "SELECT ("])
def test_unreadable(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^can't parse the feature query: ") as error:
        check(query(text))
    assert "\x1b" not in str(error.value)


def section(time_format: str = "iso8601", **accept: str) -> Input:
    return Input.model_validate(
        {
            "topic": "t",
            "event_id": "id",
            "event_time": "at time",
            "time_format": time_format,
            "fields": {"x": "float"},
            "accept": accept,
        }
    )


@pytest.mark.parametrize(
    ("time_format", "factor"), [("epoch_s", "1000.0"), ("epoch_ms", "1.0"), ("epoch_us", "0.001")]
)
def test_epoch_time_expression(time_format: str, factor: str) -> None:
    text = "TRY_CAST(JSON_VALUE(CAST(BODY AS STRING), '$[''at time'']') AS DOUBLE)"
    assert time_expression(section(time_format)) == (
        f"CASE WHEN ABS({text} * {factor}) < 2.0E14"
        f" THEN TO_TIMESTAMP_LTZ(CAST({text} * {factor} AS BIGINT), 3) END"
    )


def test_accepted_around_kafkas_time() -> None:
    settings = section(past="50 h", future="1500 ms")
    time = time_expression(settings)
    assert accepted_time_expression(settings) == (
        f"CASE WHEN {time} >= TIMESTAMPADD(SECOND, -7200, TIMESTAMPADD(DAY, -2, kafka_time))"
        f" AND {time} <= TIMESTAMPADD(SECOND, 1, kafka_time) + INTERVAL '0.500' SECOND(1, 3)"
        f" THEN {time} END"
    )


def test_accepted_in_a_stated_range() -> None:
    settings = section(since="2013-04-01", until="2014-01-01T01:00:00+01:00")
    time = time_expression(settings)
    assert accepted_time_expression(settings) == (
        f"CASE WHEN {time} >= TO_TIMESTAMP_LTZ(1364774400000, 3)"
        f" AND {time} <= TO_TIMESTAMP_LTZ(1388534400000, 3) THEN {time} END"
    )
