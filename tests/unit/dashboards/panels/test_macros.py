"""Macros against what a real Grafana 11 made of them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from driftline.dashboards.panels.macros import MacroError, expand

RECORDED = Path(__file__).parents[3] / "data" / "grafana" / "11_ds_query.json"


def _queries() -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    found = []
    for exchange in json.loads(RECORDED.read_text()):
        request = exchange["request_body"]
        if exchange["path"] != "/api/ds/query" or not str(request["from"]).isdigit():
            continue
        for query in request["queries"]:
            result = exchange["response_body"].get("results", {}).get(query["refId"])
            if result is not None and "rawSql" in query:
                found.append((request, query, result))
    return found


def _expand(request: dict[str, Any], query: dict[str, Any]) -> str:
    start, end = (datetime.fromtimestamp(int(request[k]) / 1000, UTC) for k in ("from", "to"))
    interval = timedelta(milliseconds=query.get("intervalMs", 300_000))
    return expand(query["rawSql"], start, end, interval, {})


def _executed(result: dict[str, Any]) -> str | None:
    for frame in result.get("frames", []):
        text = frame["schema"].get("meta", {}).get("executedQueryString")
        if text:
            return str(text)
    return None


@pytest.mark.parametrize(("request_", "query", "result"), _queries())
def test_expands_as_recorded(
    request_: dict[str, Any], query: dict[str, Any], result: dict[str, Any]
) -> None:
    error = result.get("error", "")
    if error.startswith("interpolation failed"):
        with pytest.raises(MacroError) as caught:
            _expand(request_, query)
        assert str(caught.value) == error
    elif (executed := _executed(result)) is not None:
        assert _expand(request_, query) == executed


NOW = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${v:sqlstring}", "'it''s'"),
        ("$v", "it''s"),
        ("${v:raw}", "it's"),
        ("${many:sqlstring}", "'a','b'"),
        ("$many", "'a','b'"),
        ("$unknown", "$unknown"),
        ("$__timeGroup(t,'$bucket')", "time_bucket('300.000s',t)"),
        ("${evil:sqlstring}", "'$__timeFrom() ${v}'"),
    ],
)
def test_variables(text: str, expected: str) -> None:
    values = {"v": "it's", "many": ["a", "b"], "bucket": "5m", "evil": "$__timeFrom() ${v}"}
    assert expand(text, NOW, NOW, timedelta(minutes=1), values) == expected
