"""The stand-in's folders, as recorded in scenario 06."""

from typing import Any

from tests.grafana.store import Json, Store, legal_uid, new_uid, now, refused, slug, traced


def _not_found() -> Exception:
    return refused(404, "folder not found", status="not-found")


def _shown(store: Store, folder: Json) -> Json:
    shown = {
        "id": folder["id"],
        "uid": folder["uid"],
        "orgId": store.traits.org,
        "title": folder["title"],
        "url": f"/dashboards/f/{folder['uid']}/{slug(folder['title'])}",
        "hasAcl": False,
        "created": folder["created"],
        "updated": folder["updated"],
        "version": folder["version"],
    }
    if folder["parent"]:
        parent = _shown(store, store.folders[folder["parent"]])
        whole = store.traits.whole_parents
        shown["parentUid"] = folder["parent"]
        shown["parents"] = [{k: v for k, v in parent.items() if whole or k != "version"}]
    return shown


def listed(store: Store, parent: str, role: str) -> list[Json]:
    """One level, by title."""
    rows = [
        {"id": one["id"], "uid": one["uid"], "title": one["title"]}
        | ({"parentUid": parent} if parent else {})
        for one in sorted(store.folders.values(), key=lambda one: str(one["title"]))
        if one["parent"] == parent
    ]
    if role != "Admin" and not parent:
        rows.insert(0, {"id": -1, "uid": "sharedwithme", "title": "Shared with me"})
    return rows


def create(store: Store, body: Json) -> Json:
    """POST /api/folders."""
    uid, title, parent = body.get("uid") or new_uid(), body.get("title"), body.get("parentUid", "")
    if not title:
        raise refused(400, "folder title cannot be empty")
    if not legal_uid(uid):
        raise traced(400, "uid contains illegal characters")
    if len(uid) > 40:
        raise traced(400, "uid too long, max 40 characters")
    if uid == "general":
        raise traced(500, "Folder API error")
    if parent and parent not in store.folders:
        raise store.refusal("folder unknown")
    if uid in store.folders:
        raise store.refusal("folder uid taken")
    if any(o["title"] == title and o["parent"] == parent for o in store.folders.values()):
        store.refuse("folder title taken")
    store.folders[uid] = {
        "id": store.next_id(),
        "uid": uid,
        "title": title,
        "parent": parent,
        "created": now(),
        "updated": now(),
        "version": 1,
    }
    return _shown(store, store.folders[uid])


def get(store: Store, uid: str) -> Json:
    """GET /api/folders/UID."""
    if uid not in store.folders:
        raise _not_found()
    return _shown(store, store.folders[uid])


def update(store: Store, uid: str, body: Json) -> Json:
    """PUT /api/folders/UID."""
    if uid not in store.folders:
        raise _not_found()
    folder = store.folders[uid]
    if not body.get("overwrite") and body.get("version") != folder["version"]:
        raise store.refusal("folder changed")
    folder |= {"title": body["title"], "version": folder["version"] + 1, "updated": now()}
    return _shown(store, folder)


def counts(store: Store, uid: str) -> Json:
    """GET /api/folders/UID/counts."""
    return {
        "alertrule": sum(one["folderUID"] == uid for one in store.rules),
        "dashboard": sum(one["folderUid"] == uid for one in store.dashboards.values()),
        "folder": sum(one["parent"] == uid for one in store.folders.values()),
        "librarypanel": 0,
    }


def delete(store: Store, uid: str, query: Any) -> Json:
    """DELETE /api/folders/UID."""
    if uid not in store.folders:
        raise store.refusal("folder unknown")
    if counts(store, uid)["alertrule"] and query.get("forceDeleteRules") != "true":
        message = "Folder cannot be deleted: folder is not empty"
        more = {"messageId": "folder.not-empty", "statusCode": 400, "traceID": ""}
        raise refused(400, message, **more)
    del store.folders[uid]
    store.rules = [one for one in store.rules if one["folderUID"] != uid]
    store.dashboards = {k: d for k, d in store.dashboards.items() if d["folderUid"] != uid}
    return {"message": "Folder deleted"}
