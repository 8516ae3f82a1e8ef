"""The stand-in answers as a real Grafana 11.0 did: every recorded exchange, in order."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.grafana import sources
from tests.grafana.app import StandIn
from tests.grafana.serving import served

RECORDED = Path(__file__).parents[1] / "data" / "grafana"
SCENARIOS = sorted(path.stem for path in (RECORDED / "api").glob("*.json"))
# Who may click what, and who did: not used by driftline, and not kept by the stand-in.
_UNUSED = {
    *("canSave", "canEdit", "canAdmin", "canDelete", "createdBy", "updatedBy"),
    *("annotationsPermissions", "accessErrorId", "typeName", "hasAcl"),
}

# The data sources of the files that the server had in scenario 08.
_FILE = {
    "type": "grafana-postgresql-datasource",
    "access": "proxy",
    "url": "pg.example:5432",
    "user": "postgres",
    "jsonData": {"database": "driftline", "sslmode": "disable"},
}


def _time(key: str) -> str:
    """Now, or later for an end."""
    later = timedelta(hours=key == "endsAt")
    return (datetime.now(UTC) + later).isoformat()


_PLACEHOLDER = re.compile(r"<\w+(:\d+)?>")


class Bound:
    """What placeholders of one recording stand for in this run."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def fill(self, value: Any) -> Any:
        """A request with the values of this run."""
        if isinstance(value, dict):
            return {
                key: _time(key) if one == "<timestamp>" else self.fill(one)
                for key, one in value.items()
            }
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        if not isinstance(value, str):
            return value
        if value in self.values:
            return self.values[value]
        return _PLACEHOLDER.sub(lambda found: str(self.values.get(found[0], found[0])), value)

    def match(self, recorded: Any, answer: Any, path: str = "") -> list[str]:
        """Where the answer differs from the recording."""
        if isinstance(recorded, str):
            return self._match_text(recorded, answer, path)
        if isinstance(recorded, dict) and isinstance(answer, dict):
            return self._match_keys(recorded, answer, path)
        if isinstance(recorded, list) and isinstance(answer, list):
            if len(recorded) != len(answer):
                return [f"{path}: {len(answer)} rows, not {len(recorded)}"]
            pairs = zip(recorded, answer, strict=True)
            return [d for i, (r, a) in enumerate(pairs) for d in self.match(r, a, f"{path}[{i}]")]
        return [] if recorded == answer else [f"{path}: {answer!r} is not {recorded!r}"]

    def _match_text(self, recorded: str, answer: Any, path: str) -> list[str]:
        if isinstance(answer, dict):  # a list cut to names
            name = self.values.get(recorded, recorded)
            return [] if name in answer.values() else [f"{path}: no {name!r} in {answer!r}"]
        if _PLACEHOLDER.fullmatch(recorded):
            known = self.values.setdefault(recorded, answer) if ":" in recorded else answer
            if recorded == "<id>":
                self.values["<id>"] = answer
            return [] if known == answer else [f"{path}: {answer!r} is not {known!r}"]
        if isinstance(answer, str) and "<" in recorded:
            pattern = _PLACEHOLDER.sub(".*", re.escape(self.fill(recorded)).replace("\\<", "<"))
            if re.fullmatch(pattern, answer, re.DOTALL):
                return []
        return [] if recorded == answer else [f"{path}: {answer!r} is not {recorded!r}"]

    def _match_keys(self, recorded: dict[str, Any], answer: dict[str, Any], path: str) -> list[str]:
        found = []
        for key, value in recorded.items():
            if key in _UNUSED or (value in (None, "<absent>") and key not in answer):
                continue
            if key not in answer:
                found.append(f"{path}.{key} is missing")
            else:
                found += self.match(value, answer[key], f"{path}.{key}")
        return found


@pytest.fixture
def grafana() -> Iterator[tuple[StandIn, httpx.Client]]:
    stand_in = StandIn()
    stand_in.store.tokens = {}
    with served(stand_in) as url, httpx.Client(base_url=url) as client:
        yield stand_in, client


def _auth(exchange: dict[str, Any], tokens: dict[str, str]) -> dict[str, str]:
    kind, _, rest = (exchange.get("auth") or "admin").partition(":")
    if kind == "token":
        return {"Authorization": f"Bearer {tokens.get(rest, rest)}"}
    if kind == "none":
        return {}
    user, _, password = (rest if kind == "basic" else "admin:admin").partition(":")
    encoded = httpx.BasicAuth(user, password)._auth_header
    return {"Authorization": encoded}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_recorded_exchanges(scenario: str, grafana: tuple[StandIn, httpx.Client]) -> None:
    stand_in, client = grafana
    if scenario == "08_datasource_readonly":
        for uid, name in (("pgro", "pg-file"), ("pgrw", "pg-file-rw")):
            sources.provision(
                stand_in.store, {**_FILE, "uid": uid, "name": name}, editable=uid == "pgrw"
            )
    exchanges = json.loads((RECORDED / "api" / f"{scenario}.json").read_text())
    bound = Bound()
    tokens: dict[str, str] = {}
    account: int | None = None
    different: list[str] = []
    for number, exchange in enumerate(exchanges):
        body = exchange.get("request_body")
        raw = body.get("__raw__") if isinstance(body, dict) else None
        content = raw if raw is not None else ("" if body is None else json.dumps(bound.fill(body)))
        headers = {**(exchange.get("request_headers") or {}), **_auth(exchange, tokens)}
        path = bound.fill(exchange["path"])
        if exchange.get("note") == "expired token":
            stand_in.store.expired.add(headers["Authorization"].removeprefix("Bearer "))
        answer = client.request(exchange["method"], path, content=content, headers=headers)
        got: Any = answer.json() if answer.content else ""
        if path.endswith("/tokens") and answer.is_success:
            tokens[exchange["request_body"]["name"].removeprefix("tok-")] = got["key"]
        if path.rstrip("/").endswith("/serviceaccounts") and answer.is_success:
            account = bound.values["<id>"] = got["id"]
        where = f"{number} {exchange['method']} {path} ({exchange.get('note')})"
        if exchange.get("status") not in (None, answer.status_code):
            different.append(f"{where}: {answer.status_code}, not {exchange['status']}: {got}")
        elif not exchange.get("setup") and "response_body" in exchange:
            different += [f"{where}{d}" for d in bound.match(exchange["response_body"], got)]
        if path.endswith("/tokens"):
            bound.values["<id>"] = account  # not the token's
    assert different == [], "\n".join(different)
