"""The stand-in's data sources, as recorded in scenarios 07 and 08."""

from typing import Any

from tests.grafana.store import Json, Store, bad_data, legal_uid, new_uid, refused, traced

_NEW = "grafana-postgresql-datasource"


def _not_found() -> Exception:
    return refused(404, "Data source not found")


def _shown(store: Store, source: Json) -> Json:
    read_only = source.get("readOnly", False)
    hidden = read_only and not store.traits.set_secrets_only
    secure = {key: True for key, value in source["secure"].items() if value and not hidden}
    kind = source["type"]
    logo = (
        f"public/app/plugins/datasource/{kind}/img/postgresql_logo.svg"
        if kind == _NEW
        else "public/img/icn-datasource.svg"
    )
    rest = {key: value for key, value in source.items() if key not in ("secure", "readOnly")}
    return {
        **rest,
        "orgId": 1,
        "typeLogoUrl": logo,
        "basicAuth": False,
        "basicAuthUser": "",
        "withCredentials": False,
        "secureJsonFields": secure,
        "readOnly": read_only,
    }


def _stored(body: Json) -> Json:
    kind = _NEW if body["type"] == "postgres" else body["type"]
    return {
        "name": body.get("name") or kind,
        "type": kind,
        "access": body["access"],
        "url": body.get("url", ""),
        "user": body.get("user", ""),
        "database": body.get("database", ""),
        "isDefault": body.get("isDefault", False),
        "jsonData": body.get("jsonData", {}),
    }


def create(store: Store, body: Json) -> Json:
    """POST /api/datasources."""
    if not body.get("type") or not body.get("access"):
        raise bad_data()
    new = _stored(body)
    uid = body.get("uid") or new_uid()
    if not legal_uid(uid) or len(uid) > 40:
        store.refuse("source uid illegal")
    if any(one["name"] == new["name"] for one in store.data_sources.values()):
        raise traced(409, "data source with the same name already exists")
    if uid in store.data_sources:
        raise traced(409, "data source with the same uid already exists")
    new |= {
        "id": store.next_id(),
        "uid": uid,
        "version": 1,
        "secure": dict(body.get("secureJsonData", {})),
    }
    new["isDefault"] = new["isDefault"] or not store.data_sources
    store.data_sources[uid] = new
    return _answer(store, new, "Datasource added")


def provision(store: Store, body: Json, *, editable: bool) -> None:
    """As a file of the server's does."""
    uid = create(store, body)["datasource"]["uid"]
    store.data_sources[uid]["readOnly"] = not editable


def _answer(store: Store, source: Json, message: str) -> Json:
    return {
        "datasource": _shown(store, source),
        "id": source["id"],
        "message": message,
        "name": source["name"],
    }


def get(store: Store, uid: str) -> Json:
    """GET /api/datasources/uid/UID."""
    if uid not in store.data_sources:
        raise _not_found()
    return _shown(store, store.data_sources[uid])


def update(store: Store, uid: str, body: Json) -> Json:
    """PUT /api/datasources/uid/UID: the version is ignored, secrets left out are kept."""
    if uid not in store.data_sources:
        raise _not_found()
    old = store.data_sources[uid]
    if old.get("readOnly"):
        raise refused(403, "Cannot update read-only data source")
    others = (one for key, one in store.data_sources.items() if key != uid)
    if any(one["name"] == body["name"] for one in others):
        text = "data source with the same name already exists"
        raise traced(409, f"Failed to update datasource: {text}")
    old |= _stored(body)
    old["secure"] |= body.get("secureJsonData", {})
    old["version"] = body.get("version", 0) + 1
    return _answer(store, old, "Datasource updated")


def delete(store: Store, uid: str) -> Json:
    """DELETE /api/datasources/uid/UID."""
    if uid not in store.data_sources:
        raise _not_found()
    if store.data_sources[uid].get("readOnly"):
        raise refused(403, "Cannot delete read-only data source")
    source = store.data_sources.pop(uid)
    return {"id": source["id"], "message": "Data source deleted"}


def health(store: Store, uid: str) -> Any:
    """GET /api/datasources/uid/UID/health."""
    if uid not in store.data_sources:
        raise traced(500, "Unable to load datasource metadata")
    return {"message": "Database Connection OK", "status": "OK"}
