"""What Flink's planner makes of a job: each function that writes is called at one place.

No service is needed: planning reads no topic. The feature query's SQL is judged by Flink itself.
"""

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pyflink.table import ExplainDetail, TableEnvironment

from driftline.config import Config, Input, Model
from driftline.names import BODY
from driftline.streaming.flink.job import flink_settings, table_environment
from driftline.streaming.flink.topology import build
from driftline.streaming.jvm.gateway import jvm_arguments
from driftline.streaming.queries.query import accepted_time_expression, time_expression
from tests.unit.streaming.decoding import ANY_TIME, NOW, decode, event

Plans = Callable[[str], tuple[str, str]]
NAME = "fraud"
WINDOW = """
    SELECT *,
      COUNT(*) OVER (PARTITION BY country ORDER BY event_time
        RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS last_hour,
      AVG(amount) OVER (PARTITION BY country ORDER BY event_time
        RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS mean_amount
    FROM events
"""
PLAIN_SQL = "SELECT *, amount * 2 AS twice, amount > 10 AS keep FROM events"


@pytest.fixture(scope="module", autouse=True)
def small_heap(tmp_path_factory: pytest.TempPathFactory) -> None:
    """For the JVM that the first table environment starts; it ends with this process."""
    config = Config(state=tmp_path_factory.mktemp("state"))
    os.environ["JVM_ARGS"] = " ".join(jvm_arguments(config))


def section(**parts: Any) -> dict[str, Any]:
    return {
        "input": {
            "topic": "payments",
            "event_id": "id",
            "event_time": "at",
            "fields": {
                "amount": "float",
                "country": "string",
                # words that SQL keeps for itself
                "order": "int",
                "user": "string",
                "value": {"type": "bool", "key": "is new"},
            },
        },
        "registry": {"name": NAME},
        **parts,
    }


SQL: dict[str, Any] = {"query": WINDOW, "columns": {"last_hour": "int", "mean_amount": "float"}}
PARTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "output": {"output": {"topic": "scored"}},
    "output-at-least-once": {"output": {"topic": "scored", "delivery": "at_least_once"}},
    "labels": {"labels": {"topic": "truth"}},
    "window": {"features": {"sql": SQL}},
    "window-output": {"features": {"sql": SQL}, "output": {"topic": "scored"}},
    "plain-sql": {
        "features": {
            "sql": {
                "query": PLAIN_SQL,
                "columns": {"twice": "float", "keep": "bool"},
                "out_of_order": "36 h",
            }
        }
    },
    "everything": {
        "features": {"sql": SQL},
        "output": {"topic": "scored"},
        "labels": {"topic": "truth"},
    },
}


def config_of(folder: Path, model: dict[str, Any]) -> Config:
    return Config.model_validate(
        {
            "state": folder,
            "kafka": {"bootstrap": "127.0.0.1:9"},
            "postgres": {"host": "127.0.0.1"},
            "models": {NAME: Model.model_validate(model)},
        }
    )


def plans(config: Config, starts: dict[str, dict[int, int]]) -> tuple[str, str]:
    """The optimized plan, and what is executed of it as JSON, with two tasks an operator."""
    settings = flink_settings(config, NAME) | {"parallelism.default": "2"}
    statements = build(table_environment(settings), config, NAME, starts)
    text: str = statements.explain(ExplainDetail.JSON_EXECUTION_PLAN)
    optimized, _, executed = text.partition("== Physical Execution Plan ==")
    return optimized.partition("== Optimized Execution Plan ==")[2], executed


def optimized_plan(config: Config, starts: dict[str, dict[int, int]]) -> str:
    return plans(config, starts)[0]


@pytest.fixture(scope="module")
def plans_of(tmp_path_factory: pytest.TempPathFactory) -> Plans:
    """The plans of each of `PARTS`; Flink makes them once, in seconds."""

    @cache
    def made(parts: str) -> tuple[str, str]:
        return plans(config_of(tmp_path_factory.mktemp("plan"), section(**PARTS[parts])), {})

    return made


@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_functions_that_write_are_called_at_one_place(plans_of: Plans, parts: str) -> None:
    model = section(**PARTS[parts])
    plan, _ = plans_of(parts)
    assert len(re.findall(r"\blog_predictions\(", plan)) == 1, plan
    assert len(re.findall(r"\blog_labels\(", plan)) == int("labels" in model), plan
    # a plan that is shared says so where it is used again: the log must be no such part
    logging = [line for line in plan.splitlines() if "log_predictions(" in line]
    assert len(logging) == 1
    assert "PythonCalc" in logging[0]
    assert plan.count("Sink(table=[default_catalog.default_database.published]") == 1


@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_no_message_overtakes_another_of_its_partition(plans_of: Plans, parts: str) -> None:
    """Round robin would let the watermark of one reader pass the rows of another."""
    _, executed = plans_of(parts)
    nodes = {node["id"]: node for node in json.loads(executed)["nodes"]}
    ways = [
        (way["ship_strategy"], nodes[way["id"]], node)
        for node in nodes.values()
        for way in node.get("predecessors", [])
    ]
    assert ways
    other_ways = [way for way in ways if way[0] not in {"FORWARD", "HASH"}]
    if not has_windows(parts):
        assert not other_ways
        return
    # windows have one reader
    [(way, reader, behind)] = other_ways
    assert (way, reader["parallelism"], behind["type"]) == ("REBALANCE", 1, "always active")


def has_windows(parts: str) -> bool:
    return bool(PARTS[parts].get("features", {}).get("sql") == SQL)


@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_windows_alone_are_read_by_one_task_that_is_always_active(
    plans_of: Plans, parts: str
) -> None:
    _, executed = plans_of(parts)
    nodes = json.loads(executed)["nodes"]
    readers = [
        node
        for node in nodes
        if node["type"].startswith("Source: ") and "label" not in node["type"]
    ]
    assert [node["parallelism"] for node in readers] == [1 if has_windows(parts) else 2]
    active = [node for node in nodes if node["type"] == "always active"]
    assert len(active) == int(has_windows(parts))


@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_each_message_is_decoded_once_for_the_query(plans_of: Plans, parts: str) -> None:
    plan, _ = plans_of(parts)
    sql = PARTS[parts].get("features", {}).get("sql")
    assert len(re.findall(r"\bread_fields\(", plan)) == int(sql is not None), plan


@pytest.mark.parametrize(
    "out_of_order", [timedelta(minutes=1), timedelta(hours=36, milliseconds=5)], ids=str
)
def test_the_watermark_is_as_late_as_the_config_says(
    tmp_path: Path, out_of_order: timedelta
) -> None:
    query = SQL | {"out_of_order": out_of_order}
    config = config_of(tmp_path, section(features={"sql": query}))
    t_env = table_environment(flink_settings(config, NAME))
    build(t_env, config, NAME, {})
    plan = t_env.sql_query(f"SELECT {BODY} FROM messages").explain()
    intervals = re.findall(r"(\d+):INTERVAL DAY TO SECOND\(3\)\)\], idletimeout=", plan)
    assert set(intervals) == {str(out_of_order // timedelta(milliseconds=1))}, plan


@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_only_windows_need_the_join_that_gives_each_event_once(plans_of: Plans, parts: str) -> None:
    plan, _ = plans_of(parts)
    joins = plan.count("IntervalJoin(joinType=[LeftOuterJoin]")
    assert joins == int(has_windows(parts)), plan


def test_what_is_published_is_not_computed_from_a_second_call(plans_of: Plans) -> None:
    """The filter on the event's id must read the column of the call, not call again."""
    plan, _ = plans_of("everything")
    assert "IS NOT NULL(p.event_id)" in plan or "p.event_id IS NOT NULL" in plan, plan


def test_every_column_that_the_query_adds_reaches_the_log(plans_of: Plans) -> None:
    plan, _ = plans_of("window")
    [call] = re.findall(r"log_predictions\(([^)]*)\)", plan)
    whole = list(SQL["columns"].values()).count("int")  # these come as two
    assert len(call.split(",")) == 5 + len(SQL["columns"]) + whole, call


# words of the job's own queries, of Python's functions and of SQL
WORDS = "body known_time is_late once barrier usable enriched featured timed events messages logged"
WORDS += " published reason reject_reason p f n log_predictions row array select from value kafka"


@pytest.mark.parametrize("windows", [True, False])
def test_fields_and_columns_may_have_any_name(tmp_path: Path, windows: bool) -> None:
    fields = dict.fromkeys(WORDS.split(), "int")
    columns = {f"{name}_{len(fields)}": "int" for name in fields}
    of = "MAX({}) OVER (ORDER BY event_time)" if windows else "{} + 1"
    for these, those in ((fields, columns), (columns, fields)):
        added = ", ".join(
            f"{of.format(f'`{name}`')} AS `{other}`"
            for name, other in zip(these, those, strict=True)
        )
        model = section(
            features={"sql": {"query": f"SELECT *, {added} FROM events", "columns": those}}
        )
        model["input"]["fields"] = these
        plan = optimized_plan(config_of(tmp_path, model), {})
        assert "log_predictions(" in plan


def test_the_view_that_a_query_reads_has_columns_of_its_own(tmp_path: Path) -> None:
    """They may not be declared again: refused by the config alone."""
    for name in ("kafka_partition", "kafka_offset", "kafka_time", "event_time", "event_id", "late"):
        model = section(features={"sql": SQL})
        model["input"]["fields"] = {**model["input"]["fields"], name: "int"}
        with pytest.raises(ValueError, match=f"{name!r} is reserved: rename"):
            config_of(tmp_path, model)


def test_starts_are_given_to_the_reader(tmp_path: Path) -> None:
    config = config_of(tmp_path, section(**PARTS["everything"]))
    t_env = table_environment(flink_settings(config, NAME))
    build(t_env, config, NAME, {"payments": {1: 7, 0: 12}})
    shown = "".join(row[0] for row in t_env.execute_sql("SHOW CREATE TABLE messages").collect())
    assert "'scan.startup.mode' = 'specific-offsets'" in shown
    assert "'partition:0,offset:12;partition:1,offset:7'" in shown
    labels = "".join(
        row[0] for row in t_env.execute_sql("SHOW CREATE TABLE label_messages").collect()
    )
    assert "'scan.startup.mode' = 'earliest-offset'" in labels


# The same event must have the same time in SQL and in the decoder.


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Any]]:
    """Evaluates SQL expressions over messages in Flink: a row of values for each message."""
    config = config_of(tmp_path_factory.mktemp("flink"), section())
    t_env: TableEnvironment = table_environment(flink_settings(config, NAME))

    def evaluate(payloads: list[bytes], *expressions: str) -> list[Any]:
        hexed = ", ".join(f"({n}, x'{body.hex()}')" for n, body in enumerate(payloads))
        columns = ", ".join(f"CAST({text} AS STRING)" for text in expressions)
        rows = t_env.sql_query(
            f"""SELECT n, {columns} FROM (
                  SELECT n, CAST(b AS BYTES) AS {BODY},
                         CAST(TIMESTAMP '{NOW.replace("T", " ")}' AS TIMESTAMP_LTZ(3)) AS kafka_time
                    FROM (VALUES {hexed}) AS m (n, b))"""
        ).execute()
        with rows.collect() as results:
            return [tuple(row)[1:] for row in sorted(results, key=lambda row: row[0])]

    return evaluate


def times_of(rows: list[Any]) -> list[datetime | None]:
    return [
        None if text is None else datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=UTC)
        for (text, *_) in rows
    ]


READABLE = [
    "2026-01-01T00:00:00Z",
    "2026-01-01 00:00:00Z",
    "2026-01-01T12:34:56",
    "2026-01-01T12:34",
    "2026-01-01T12:34Z",
    "2026-01-01T12",
    "2026-01-01",
    "2026-01-01T12:34:56.5Z",
    "2026-01-01T12:34:56.123",
    "2026-01-01T12:34:56.123999Z",
    "2026-01-01T12:34:56.123456789",
    "2026-01-01T12:34:56+02:00",
    "2026-01-01T12:34:56.25-0330",
    "2026-01-01T12:34+02",
    "2026-01-01T12:34:56-07",
    "2026-01-01T12-0030",
    "2026-01-01T00:00:00.75+05:30",
    "2024-02-29T23:59:59.999Z",
    "1969-12-31T23:59:59.999Z",
    "1500-06-01T00:00:00Z",
    "2300-06-01T00:00:00",
]
# Flink reads some that the decoder rejects (the 30th of February): it is the decoder's word that
# counts.
UNREADABLE = ["", "now", "2026", "01/02/2026", "yesterday 12:00:00Z", "T00:00:00Z"]


def settings(**more: Any) -> Input:
    return Input.model_validate(section()["input"] | more)


def test_iso_times_are_those_of_the_decoder(evaluate: Callable[..., list[Any]]) -> None:
    payloads = [event(at=f'"{text}"') for text in READABLE + UNREADABLE]
    decoded = decode(payloads, accept=ANY_TIME).events
    expected = [
        decoded[n]["event_time"].replace(
            microsecond=decoded[n]["event_time"].microsecond // 1_000 * 1_000
        )
        for n in range(len(READABLE))
    ]
    times = times_of(evaluate(payloads, time_expression(settings())))
    assert dict(zip(READABLE + UNREADABLE, times, strict=True)) == dict(
        zip(READABLE + UNREADABLE, [*expected, *[None] * len(UNREADABLE)], strict=True)
    )


@pytest.mark.parametrize(
    ("time_format", "texts"),
    [
        ("epoch_s", ["0", "1767225600", "1767225600.25", "-1", "1e308", "9e11", "null", '"x"']),
        ("epoch_ms", ["1767225600123", "1767225600123.9", "1.7672256e12", "-5", "[1]"]),
        ("epoch_us", ["1767225600123456", "1e15"]),
    ],
)
def test_epoch_times_are_those_of_the_decoder(
    evaluate: Callable[..., list[Any]], time_format: str, texts: list[str]
) -> None:
    payloads = [event(at=text) for text in texts]
    decoded = decode(payloads, accept=ANY_TIME, time_format=time_format).events
    expression = time_expression(settings(time_format=time_format))
    times = times_of(evaluate(payloads, expression))
    for n, text in enumerate(texts):
        if n in decoded:
            time = times[n]
            assert time is not None, text
            assert abs(time - decoded[n]["event_time"]) < timedelta(milliseconds=1), text
        else:
            assert times[n] is None, text


def test_accepted_times_are_those_of_the_decoder(evaluate: Callable[..., list[Any]]) -> None:
    texts = [
        "2025-12-31T00:00:00.000Z",
        "2025-12-30T23:59:59.999Z",
        "2026-01-01T00:00:01.500Z",
        "2026-01-01T00:00:01.501Z",
        "1500-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ]
    payloads = [event(at=f'"{text}"') for text in texts]
    for accept in (
        {"past": "1 d", "future": "1500 ms"},
        {"since": "2025-12-31", "until": "2026-01-01T00:00:01.500Z"},
    ):
        decoded = decode(payloads, accept=accept).events
        assert list(decoded) == [0, 2]
        times = times_of(evaluate(payloads, accepted_time_expression(settings(accept=accept))))
        assert times == [decoded[n]["event_time"] if n in decoded else None for n in range(6)]


def test_any_range_can_be_accepted(evaluate: Callable[..., list[Any]]) -> None:
    payloads = [event(at=f'"{text}"') for text in ("0110-01-01", "2025-01-01", "3940-01-01")]
    accept = {"past": "700000 d", "future": "700000 d"}
    decoded = decode(payloads, accept=accept).events
    times = times_of(evaluate(payloads, accepted_time_expression(settings(accept=accept))))
    assert times == [decoded[n]["event_time"] for n in range(3)]


def test_what_is_no_json_has_no_time(evaluate: Callable[..., list[Any]]) -> None:
    payloads = [b"", b"\xff\xfe", b"null", b"[1]", b"{", b'"x"', b"{}", b"[" * 5_000]
    times = evaluate(payloads, time_expression(settings()))
    assert times == [(None,)] * len(payloads)
