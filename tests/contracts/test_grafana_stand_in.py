"""The stand-in answers as a real Grafana 11.0 and 12.2 did: every recorded exchange, in order."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.grafana import folders, pages, sources
from tests.grafana.app import StandIn
from tests.grafana.serving import served
from tests.grafana.store import Store

RECORDED = Path(__file__).parents[1] / "data" / "grafana"


def _names(folder: str) -> set[str]:
    return {path.stem for path in (RECORDED / folder).glob("*.json")}


SCENARIOS = [
    *(("11.0.0", name) for name in sorted(_names("api"))),
    *(("12.2.0", name) for name in sorted(_names("api") | _names("api-12.2"))),
]
# exchanges of 12.2 that the stand-in is not held to, and why
_NOT_HELD = {
    "/api/health": "12.2's own answer was not kept",
    "/api/search?folderUIDs=general&type=dash-db": "tags are left out; why is not known",
}
# Who may click what, and who did: not used by driftline, and not kept by the stand-in.
_UNUSED = {
    *("canSave", "canEdit", "canAdmin", "canDelete", "createdBy", "updatedBy"),
    *("annotationsPermissions", "accessErrorId", "typeName", "hasAcl"),
}

_FILE = {
    "type": "grafana-postgresql-datasource",
    "access": "proxy",
    "url": "pg.example:5432",
    "user": "postgres",
    "jsonData": {"database": "driftline", "sslmode": "disable"},
    "secureJsonData": {"password": "postgres"},
}


def _files(store: Store) -> None:
    """The data sources of the files that the server had in scenario 08."""
    sources.provision(store, {**_FILE, "uid": "pgro", "name": "pg-file"}, editable=False)
    sources.provision(store, {**_FILE, "uid": "pgrw", "name": "pg-file-rw"}, editable=True)


_V2_PAGES = {
    "g1": "V2 grid",
    "r1": "V2 rows",
    "t1": "V2 tabs",
    "g2": "V2a2 grid",
    "bad1": "no elements",
    "bad2": "dangling",
    "bad3": "classic",
}


def _v2_pages(store: Store) -> None:
    """The dashboards that were created by /apis, which the stand-in does not have."""
    folders.create(store, {"uid": "f1", "title": "Folder 1"})
    for uid, title in _V2_PAGES.items():
        tags = [] if uid in ("bad1", "bad3") else ["driftline"]
        page = {"uid": uid, "title": title, "tags": tags}
        pages.save(store, {"dashboard": page, "folderUid": "f1"})
        pages.turn_v2(store, uid, "v2alpha2" if uid == "g2" else "v2alpha1")


_PREPARED: dict[str, Callable[[Store], None]] = {
    "08_datasource_readonly": _files,
    "apis_03_dashboards_v2": _v2_pages,
}


def _read(folder: str, scenario: str) -> list[dict[str, Any]]:
    path = RECORDED / folder / f"{scenario}.json"
    return json.loads(path.read_text()) if path.exists() else []


def _recorded(version: str, scenario: str) -> list[dict[str, Any]]:
    """Its exchanges; those of 12.2 are 11.0's, save what was recorded of itself."""
    exchanges = _read("api", scenario)
    if version == "11.0.0":
        return exchanges
    for exchange in exchanges:
        if exchange.get("setup"):  # how 12.2 answered these was not kept
            exchange["status"] = None
        if isinstance(exchange.get("response_body"), dict):  # 12.2 leaves it out of most errors
            exchange["response_body"].pop("traceID", None)
    for exchange in reversed(
        _read("api-12.2", scenario)
    ):  # from the end: places stay what they are
        if "index" in exchange:
            exchanges[exchange["index"]] |= exchange
        else:
            exchanges.insert(exchange.get("before", 0), exchange)
    return exchanges


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
            if value == "<absent>":
                found.append(f"{path}.{key} is there")
            elif key not in answer:
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


@pytest.mark.parametrize(("version", "scenario"), SCENARIOS)
def test_recorded_exchanges(
    version: str, scenario: str, grafana: tuple[StandIn, httpx.Client]
) -> None:
    stand_in, client = grafana
    stand_in.store.version = version
    if scenario in _PREPARED:
        _PREPARED[scenario](stand_in.store)
    bound = Bound()
    tokens: dict[str, str] = {}
    account: int | None = None
    different: list[str] = []
    for number, exchange in enumerate(_recorded(version, scenario)):
        if exchange.get("left_out"):
            continue
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
        if version != "11.0.0" and exchange["path"] in _NOT_HELD:
            pass
        elif exchange.get("status") not in (None, answer.status_code):
            different.append(f"{where}: {answer.status_code}, not {exchange['status']}: {got}")
        elif not exchange.get("setup") and "response_body" in exchange:
            different += [f"{where}{d}" for d in bound.match(exchange["response_body"], got)]
        if path.endswith("/tokens"):
            bound.values["<id>"] = account  # not the token's
    assert different == [], "\n".join(different)
