"""The stand-in's queries and evaluation of rules, on a real database.

Rules are a SQL table and a threshold, as driftline's are; what states come of them is recorded in
scenario 18.
"""

import decimal
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from driftline.dashboards.panels.macros import expand
from driftline.errors import DriftlineError
from tests.grafana.rule_checks import seconds
from tests.grafana.store import Json, RefusedError, Store, refused
from tests.grafana.template import Captured
from tests.grafana.template import expand as filled

Labels = tuple[tuple[str, str], ...]
_NUMBERS = (int, float, decimal.Decimal)


class QueryError(Exception):
    """A query that the data source fails."""


def run(store: Store, sql: str) -> tuple[list[str], list[Sequence[Any]]]:
    """Column names and rows of one statement, as the data source's account."""
    if store.connect is None:
        raise QueryError("failed to connect to server")
    end = datetime.now(UTC)
    hour = timedelta(hours=1)
    try:
        statement = expand(sql, end - hour, end, timedelta(seconds=60), {})
        with store.connect() as connection:
            cursor = connection.execute(statement)
            names = [column.name for column in cursor.description]
            return names, cursor.fetchall()
    except (psycopg.Error, DriftlineError) as error:
        raise QueryError(str(error).splitlines()[0]) from error


def queries(store: Store, body: Json) -> Any:
    """POST /api/ds/query: tables only."""
    if not body.get("queries"):
        raise refused(400, "No queries found", messageId="query.noQueries", statusCode=400)
    results: Json = {}
    for query in body["queries"]:
        ref = query["refId"]
        if query["datasource"]["uid"] not in store.data_sources:
            raise refused(404, "Data source not found")
        try:
            names, rows = run(store, query["rawSql"])
        except QueryError as error:
            results[ref] = {"error": str(error), "errorSource": "", "status": 500}
            continue
        columns = [[row[i] for row in rows] for i in range(len(names))]
        fields = [{"name": name} for name in names]
        frame = {"schema": {"refId": ref, "fields": fields}, "data": {"values": columns}}
        results[ref] = {"status": 200, "frames": [frame]}
    if any(one["status"] != 200 for one in results.values()):
        raise RefusedError(400, {"results": results})
    return {"results": results}


@dataclass(frozen=True)
class Instance:
    """One alert of a rule: its labels from the query, its state, its annotations."""

    rule: str
    labels: Labels
    state: str
    annotations: Json = field(default_factory=dict, compare=False)


def evaluate(store: Store) -> list[Instance]:
    """Evaluate every rule once; remembers states, for KeepLast."""
    rules = [rule for rule in store.rules if not rule["isPaused"]]
    with _connected(store) as asked:
        found = [one for rule in rules for one in _rule(asked, rule)]
    for one in found:
        key = (one.rule, repr(one.labels))
        store.states[key] = one.state.partition(" ")[0]
    return found


@contextmanager
def _connected(store: Store) -> Iterator[Store]:
    """The same, with one connection for all rules, as a data source has it."""
    try:
        connection = store.connect and store.connect()
    except psycopg.Error:
        connection = None
    if connection is None:
        yield store
        return
    with connection:
        yield replace(store, connect=lambda: nullcontext(connection))


def _rule(store: Store, rule: Json) -> list[Instance]:
    uid = rule["uid"]
    by_ref = {query["refId"]: query for query in rule["data"]}
    condition = by_ref[rule["condition"]]["model"]
    limit = condition["conditions"][0]["evaluator"]["params"][0]
    queries = {ref: one for ref, one in by_ref.items() if one["datasourceUid"] != "__expr__"}
    try:  # others of its queries can fail it as well
        found = {ref: _series(store, one) for ref, one in queries.items()}
    except QueryError:
        return _without_values(store, rule, "Error", rule["execErrState"])
    if not all(found.values()):
        return _without_values(store, rule, "NoData", rule["noDataState"])
    firing = "Pending" if seconds(rule["for"]) else "Alerting"
    values = found[condition["expression"]]
    above = {
        key: float(value > limit or (math.isnan(value) and store.traits.null_fires))
        for key, value in values.items()
    }
    found[rule["condition"]] = above
    return [
        Instance(uid, key, firing if fires else "Normal", _annotations(rule, dict(key), found))
        for key, fires in above.items()
    ]


def _annotations(rule: Json, labels: Json, found: dict[str, dict[Labels, float]]) -> Json:
    """Filled in with the rows that have the alert's labels, or more of them, or fewer."""
    values = {
        ref: Captured(dict(key), value)
        for ref, series in found.items()
        for key, value in series.items()
        if dict(key).items() <= labels.items() or dict(key).items() >= labels.items()
    }
    return {key: filled(text, labels, values) for key, text in rule["annotations"].items()}


def _series(store: Store, query: Json) -> dict[Labels, float]:
    """Text columns are labels, the number is the value; NULL becomes NaN."""
    if query["datasourceUid"] not in store.data_sources:
        raise QueryError("data source not found")
    names, rows = run(store, query["model"]["rawSql"])
    series: dict[Labels, float] = {}
    for row in rows:
        if any(isinstance(value, datetime) for value in row):
            raise QueryError("looks like time series data, only reduced data can be alerted on")
        texts = ((n, v) for n, v in zip(names, row, strict=True) if isinstance(v, str))
        labels = tuple(sorted(texts))
        numbers = [v for v in row if isinstance(v, _NUMBERS)]
        if labels in series or len(numbers) > 1:
            raise QueryError("duplicate results with labels, or several numbers in a row")
        series[labels] = float(numbers[0]) if numbers else math.nan
    return series


def _without_values(store: Store, rule: Json, reason: str, handling: str) -> list[Instance]:
    uid, unfilled = rule["uid"], _annotations(rule, {}, {})
    if handling == "KeepLast":
        last = {key[1]: state for key, state in store.states.items() if key[0] == uid}
        return [
            Instance(uid, eval(labels), f"{state} ({reason}, KeepLast)", unfilled)  # noqa: S307 - our repr
            for labels, state in (last or {"()": "Normal"}).items()
        ]
    if handling == reason:
        return [Instance(uid, (), reason, unfilled)]
    state = {"OK": "Normal", "Alerting": "Alerting"}[handling]
    return [Instance(uid, (), f"{state} ({reason})", unfilled)]
