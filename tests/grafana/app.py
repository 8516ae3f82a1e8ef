"""The stand-in's routes, rights and faults: Grafana's API over real HTTP."""

import base64
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.grafana import evaluate, folders, pages, receivers, rules, silences, sources
from tests.grafana.store import Json, RefusedError, Store, bad_data, new_uid, refused

PROVISIONING = "/api/v1/provisioning"
_PROVENANCE = "alert.provisioning.provenance:write"
_NOTIFY = (
    "Editor any of alert.provisioning:write, alert.notifications.provisioning:write, "
    f"all of alert.notifications:write, {_PROVENANCE}"
)
_RULES_WRITE = "Editor any of alert.provisioning:write, alert.rules.provisioning:write, all of"
_CREATE_RULE = f"{_RULES_WRITE} alert.rules:create, {_PROVENANCE}"
_CHANGE_RULE = f"{_RULES_WRITE} alert.rules:write, {_PROVENANCE}"
_DELETE_RULE = f"{_RULES_WRITE} alert.rules:delete, {_PROVENANCE}"
_CHANGE_GROUP = (
    f"{_RULES_WRITE} alert.rules:read, folders:read, {_PROVENANCE}, "
    "any of alert.rules:write, alert.rules:create, alert.rules:delete"
)
_SILENCES_WRITE = "Editor any of alert.instances:create, alert.instances:write"
_SAVE = "Editor any of dashboards:create, dashboards:write"
ALERTS = "/api/alertmanager/grafana/api/v2"


@dataclass
class Call:
    """One request, parsed."""

    store: Store
    method: str
    path: str
    match: re.Match[str]
    query: Any
    body: Json
    provenance: str
    role: str


Handler = Callable[[Call], Any]


@dataclass
class Faults:
    """What goes wrong, on request of a test.

    Attributes:
        answers: statuses that the next requests get, whatever they ask.
        only: a pattern of `METHOD PATH`: faults hit these requests alone.
        echoes: with them, what was sent is repeated.
        late: with them, what was asked is done all the same: its own answer is lost.
        delay: seconds before each answer.
        before: called with `METHOD PATH` before a request is handled.
    """

    answers: list[int] = field(default_factory=list)
    only: str = ""
    echoes: bool = False
    late: bool = False
    delay: float = 0.0
    before: Callable[[str], None] | None = None


@dataclass
class StandIn:
    """Grafana, as far as driftline knows it.

    Attributes:
        log: `METHOD PATH` of every request.
        bodies: what was sent with them.
        busy: how many were under way when each came, with it.
        crowded: folders of which two rules were written at once: Grafana locks their group.
    """

    store: Store = field(default_factory=Store)
    faults: Faults = field(default_factory=Faults)
    log: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)
    crowded: set[str] = field(default_factory=set)
    _under_way: int = 0
    _rules_of: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _transaction: threading.Lock = field(default_factory=threading.Lock)

    def app(self) -> Starlette:
        """To be served."""
        methods = ["GET", "POST", "PUT", "DELETE", "PATCH"]
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=methods)])

    async def _answer(self, request: Request) -> Response:
        raw = await request.body()
        return await run_in_threadpool(self._handled, request, raw)

    def _handled(self, request: Request, raw: bytes) -> Response:
        line = f"{request.method} {request.url.path}"
        folders = _rule_folders(line, raw)
        with self._lock:
            self._under_way += 1
            self.log.append(line)
            self.bodies.append(raw.decode())
            self.busy.append(self._under_way)
            self.crowded.update(set(folders) & set(self._rules_of))
            self._rules_of += folders
        try:
            return self._answered(request, raw, line)
        finally:
            with self._lock:
                self._under_way -= 1
                for folder in folders:
                    self._rules_of.remove(folder)

    def _answered(self, request: Request, raw: bytes, line: str) -> Response:
        if self.faults.before is not None:
            self.faults.before(line)
        if re.search(self.faults.only, line):
            time.sleep(self.faults.delay)
            with self._lock:
                status = self.faults.answers.pop(0) if self.faults.answers else None
            if status is not None:
                if self.faults.late:
                    self._routed(request, raw)
                said = f" with {raw.decode()}" if self.faults.echoes else ""
                return JSONResponse({"message": f"no luck{said}"}, status)
        try:
            return self._routed(request, raw)
        except RefusedError as error:
            if error.body == "":
                return Response(status_code=error.status)
            return JSONResponse(self._said(error), error.status)

    def _said(self, error: RefusedError) -> Json:
        traced = error.status == 401 or not self.store.traits.untraced
        return {key: one for key, one in error.body.items() if traced or key != "traceID"}

    def _routed(self, request: Request, raw: bytes) -> Response:
        path = request.scope["raw_path"].decode()
        if path == "/api/health":
            found = {
                "commit": "277ef258d4b9a5acdf2932347c6a4ca72d739b28",
                "database": "ok",
                "version": self.store.version,
            }
            return JSONResponse(found)
        role = self._role(request)
        for method, pattern, right, status, handler in ROUTES:
            match = re.fullmatch(pattern, path)
            if match is None or method != request.method:
                continue
            if not _allowed(role, right):
                raise _denied(self.store, f"{method} {pattern}", right, match)
            if self.store.corrupted and re.match(_CONFIGURATION, path):
                raise self.store.refusal("configuration corrupted")
            provenance = "" if "x-disable-provenance" in request.headers else "api"
            body = _parsed(raw) if method in ("POST", "PUT") else {}
            query = request.query_params
            call = Call(self.store, method, path, match, query, body, provenance, role)
            with self._transaction:
                answer = handler(call)
            return Response(status_code=204) if status == 204 else JSONResponse(answer, status)
        raise refused(404, "Not found")

    def _role(self, request: Request) -> str:
        """Of whoever asks."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer" and value:
            if value in self.store.expired:
                raise _unauthorized("Expired API key", "api-key.expired")
            if value in self.store.tokens:
                return self.store.tokens[value]
            raise _unauthorized("Invalid API key", "api-key.invalid")
        if scheme == "Basic":
            if base64.b64decode(value) == b"admin:admin":
                return "Admin"
            raise _unauthorized("Invalid username or password", "password-auth.failed")
        raise _unauthorized("Unauthorized", "auth.unauthorized")


def _rule_folders(line: str, raw: bytes) -> list[str]:
    """The folder of the rule that a request writes, if it does."""
    if not re.match(f"(POST|PUT) {PROVISIONING}/alert-rules", line):
        return []
    try:
        return [str(json.loads(raw)["folderUID"])]
    except (ValueError, LookupError, TypeError):
        return []


def _unauthorized(message: str, number: str) -> RefusedError:
    more = {"messageId": number, "statusCode": 401, "traceID": "", "extra": None}
    return refused(401, message, **more)


_RANK = {"Viewer": 0, "Editor": 1, "Admin": 2}


def _allowed(role: str, right: str) -> bool:
    """`right` is the least role, and behind a space the permission that its lack names."""
    return _RANK[role] >= _RANK[right.partition(" ")[0]]


def _denied(store: Store, route: str, right: str, match: re.Match[str]) -> RefusedError:
    if route == f"DELETE {_PAGE}" and match[1] not in store.dashboards:
        store.refuse("page to delete unknown")
    permission = right.partition(" ")[2]
    text = "You'll need additional permissions to perform this action. Permissions needed:"
    body = {
        "accessErrorId": "ACE0000000000",
        "message": f"{text} {store.traits.permissions.get(permission, permission)}",
        "title": "Access denied",
    }
    return RefusedError(403, body)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else {}
    except ValueError:
        raise bad_data() from None


def _org(call: Call) -> Json:
    keys = ("address1", "address2", "city", "zipCode", "state", "country")
    return {"id": 1, "name": "Main Org.", "address": dict.fromkeys(keys, "")}


def _account(call: Call) -> Json:
    role = call.body.get("role", "Viewer")
    name = call.body["name"]
    number = call.store.next_id()
    call.store.states["account", str(number)] = role
    return {
        "id": number,
        "name": name,
        "login": f"sa-1-{name}",
        "orgId": 1,
        "isDisabled": False,
        "role": role,
        "tokens": 0,
        "avatarUrl": "",
        **({"uid": new_uid()} if call.store.traits.account_uids else {}),
    }


def _token(call: Call) -> Json:
    number = call.match[1]
    key = f"glsa_{number}"
    call.store.tokens[key] = call.store.states["account", number]
    return {"id": call.store.next_id(), "name": call.body["name"], "key": key}


def _of(function: Callable[..., Any], *parts: str) -> Handler:
    """A handler of what the function takes: names of `Call`, or numbers of path parts."""

    def handler(call: Call) -> Any:
        found = [unquote(call.match[int(p)]) if p.isdigit() else getattr(call, p) for p in parts]
        return function(call.store, *found)

    return handler


_UID = r"([^/]+)"
_POINTS = f"{PROVISIONING}/contact-points"
_TIMINGS = f"{PROVISIONING}/mute-timings"
_RULES = f"{PROVISIONING}/alert-rules"
_GROUP = rf"{PROVISIONING}/folder/{_UID}/rule-groups/{_UID}"
_FOLDER = rf"/api/folders/{_UID}"
_PAGE = rf"/api/dashboards/uid/{_UID}"
_SOURCE = rf"/api/datasources/uid/{_UID}"
_SILENCE = rf"{ALERTS}/silence/{_UID}"
_POLICIES = f"{PROVISIONING}/policies"
_ALERTMANAGER = "/api/alertmanager/grafana/config/api/v1/alerts"
# what cannot be read any more when the configuration is corrupted
_CONFIGURATION = f"{_POINTS}|{_TIMINGS}|{_POLICIES}"

# method, path, least role (and the permission that is named), status, handler
ROUTES: list[tuple[str, str, str, int, Handler]] = [
    ("GET", "/api/org", "Viewer", 200, _org),
    ("POST", "/api/serviceaccounts/?", "Admin serviceaccounts:create", 201, _account),
    ("POST", rf"/api/serviceaccounts/{_UID}/tokens", "Admin", 200, _token),
    (
        "GET",
        "/api/folders",
        "Viewer",
        200,
        lambda call: folders.listed(call.store, call.query.get("parentUid", ""), call.role),
    ),
    ("POST", "/api/folders", "Editor folders:create", 200, _of(folders.create, "body")),
    ("GET", _FOLDER, "Viewer", 200, _of(folders.get, "1")),
    ("PUT", _FOLDER, "Editor folders:write", 200, _of(folders.update, "1", "body")),
    ("DELETE", _FOLDER, "Editor folders:delete", 200, _of(folders.delete, "1", "query")),
    ("GET", f"{_FOLDER}/counts", "Viewer", 200, _of(folders.counts, "1")),
    ("GET", "/api/search", "Viewer", 200, _of(pages.search, "query")),
    ("GET", _PAGE, "Viewer", 200, _of(pages.get, "1")),
    ("POST", "/api/dashboards/db", _SAVE, 200, _of(pages.save, "body")),
    ("DELETE", _PAGE, "Editor dashboards:delete", 200, _of(pages.delete, "1")),
    ("POST", "/api/datasources", "Admin datasources:create", 200, _of(sources.create, "body")),
    ("GET", _SOURCE, "Viewer", 200, _of(sources.get, "1")),
    ("PUT", _SOURCE, "Admin datasources:write", 200, _of(sources.update, "1", "body")),
    ("DELETE", _SOURCE, "Admin datasources:delete", 200, _of(sources.delete, "1")),
    ("GET", f"{_SOURCE}/health", "Viewer", 200, _of(sources.health, "1")),
    ("POST", "/api/ds/query", "Viewer", 200, _of(evaluate.queries, "body")),
    (
        "GET",
        _POINTS,
        "Viewer",
        200,
        lambda call: receivers.points(call.store, call.query.get("name")),
    ),
    ("POST", _POINTS, _NOTIFY, 202, _of(receivers.create_point, "body", "provenance")),
    (
        "PUT",
        f"{_POINTS}/{_UID}",
        _NOTIFY,
        202,
        _of(receivers.update_point, "1", "body", "provenance"),
    ),
    ("DELETE", f"{_POINTS}/{_UID}", _NOTIFY, 202, _of(receivers.delete_point, "1")),
    ("GET", _TIMINGS, "Viewer", 200, _of(receivers.timings)),
    ("GET", f"{_TIMINGS}/{_UID}", "Viewer", 200, _of(receivers.timing, "1")),
    ("POST", _TIMINGS, _NOTIFY, 201, _of(receivers.create_timing, "body", "provenance")),
    (
        "PUT",
        f"{_TIMINGS}/{_UID}",
        _NOTIFY,
        202,
        _of(receivers.update_timing, "1", "body", "provenance"),
    ),
    ("DELETE", f"{_TIMINGS}/{_UID}", _NOTIFY, 204, _of(receivers.delete_timing, "1", "query")),
    ("GET", _POLICIES, "Viewer", 200, _of(receivers.policies)),
    ("PUT", _POLICIES, _NOTIFY, 202, _of(receivers.set_policies, "body", "provenance")),
    ("DELETE", _POLICIES, _NOTIFY, 202, _of(receivers.reset_policies)),
    ("DELETE", _ALERTMANAGER, "Admin", 202, _of(receivers.reset)),
    ("GET", _RULES, "Viewer", 200, lambda call: [rules.shown(one) for one in call.store.rules]),
    (
        "GET",
        f"{_RULES}/{_UID}",
        "Viewer",
        200,
        lambda call: rules.shown(rules.find(call.store, call.match[1])),
    ),
    ("POST", _RULES, _CREATE_RULE, 201, _of(rules.create, "body", "provenance")),
    ("PUT", f"{_RULES}/{_UID}", _CHANGE_RULE, 200, _of(rules.update, "1", "body", "provenance")),
    ("DELETE", f"{_RULES}/{_UID}", _DELETE_RULE, 204, _of(rules.delete, "1", "provenance")),
    ("GET", _GROUP, "Viewer", 200, _of(rules.group, "1", "2")),
    ("PUT", _GROUP, _CHANGE_GROUP, 200, _of(rules.put_group, "1", "2", "body", "provenance")),
    ("DELETE", _GROUP, _DELETE_RULE, 204, _of(rules.delete_group, "1", "2")),
    ("GET", f"{ALERTS}/silences", "Viewer", 200, _of(silences.listed)),
    ("POST", f"{ALERTS}/silences", _SILENCES_WRITE, 202, _of(silences.create, "body")),
    ("GET", _SILENCE, "Viewer", 200, _of(silences.get, "1")),
    ("DELETE", _SILENCE, "Editor alert.instances:write", 200, _of(silences.expire, "1")),
]
