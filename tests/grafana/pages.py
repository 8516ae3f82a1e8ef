"""The stand-in's dashboards and search, as recorded in scenario 09."""

import copy
from typing import Any

from tests.grafana.store import Json, Store, bad_data, legal_uid, new_uid, now, refused, slug


def _not_found() -> Exception:
    return refused(404, "Dashboard not found", traceID="")


def get(store: Store, uid: str) -> Json:
    """GET /api/dashboards/uid/UID."""
    if uid not in store.dashboards:
        raise _not_found()
    page = store.dashboards[uid]
    if page.get("api"):
        store.refuse("page of schema v2", api=page["api"], uid=uid)
    name = slug(page["content"]["title"])
    folder = store.folders.get(page["folderUid"])
    return {
        "meta": {
            "type": "db",
            "canSave": True,
            "canEdit": True,
            "canAdmin": True,
            "canStar": True,
            "canDelete": True,
            "slug": name,
            "url": f"/d/{uid}/{name}",
            "expires": "0001-01-01T00:00:00Z",
            "created": page["created"],
            "updated": page["updated"],
            "version": page["version"],
            "hasAcl": False,
            "isFolder": False,
            "folderId": folder["id"] if folder else 0,
            "folderUid": page["folderUid"],
            "folderTitle": folder["title"] if folder else "General",
            "folderUrl": (
                f"/dashboards/f/{folder['uid']}/{slug(folder['title'])}" if folder else ""
            ),
            "provisioned": page.get("provisioned", False),
            "provisionedExternalId": "",
            **({"apiVersion": store.traits.page_api} if store.traits.page_api else {}),
        },
        "dashboard": {
            **copy.deepcopy(page["content"]),
            "id": page["id"],
            "uid": uid,
            "version": page["version"],
        },
    }


def save(store: Store, body: Json) -> Json:
    """POST /api/dashboards/db."""
    if "dashboard" not in body:
        raise bad_data()
    content = body["dashboard"]
    if not isinstance(content, dict) or not content.get("title"):
        raise refused(400, "Dashboard title cannot be empty", status="empty-name")
    uid, title, folder = content.get("uid") or "", content["title"], body.get("folderUid") or ""
    if len(uid) > 40:
        raise refused(400, "uid too long, max 40 characters")
    if not legal_uid(uid):
        raise refused(400, "uid contains illegal characters")
    if folder and folder not in store.folders:
        raise refused(400, "folder not found")
    numbers = {page["id"] for page in store.dashboards.values()}
    if content.get("id") is not None and content["id"] not in numbers:
        store.refuse("page id unknown")
    page = store.dashboards.get(uid)
    if page is not None:
        if page.get("provisioned"):  # not recorded
            raise refused(400, "Cannot save provisioned dashboard")
        if not body.get("overwrite") and content.get("version") != page["version"]:
            text = "The dashboard has been changed by someone else"
            raise refused(412, text, status="version-mismatch")
    elif store.traits.unique_titles and (same := _titled(store, title, folder)):
        if not body.get("overwrite"):
            store.refuse("page title taken")
        uid, page = same, store.dashboards[same]
    uid = uid or new_uid()
    if page is None:
        page = {"id": store.next_id(), "version": 0, "created": now()}
        store.dashboards[uid] = page
    kept = {key: one for key, one in content.items() if key not in ("id", "uid", "version")}
    unchanged = (page.get("content"), page.get("folderUid")) == (kept, folder)
    version = page["version"] + (not unchanged or store.traits.counts_saves)
    _write(page, kept, folder)
    return {
        "folderUid": folder,
        "id": page["id"],
        "slug": slug(title),
        "status": "success",
        "uid": uid,
        "url": f"/d/{uid}/{slug(title)}",
        "version": version,
    }


def _write(page: Json, content: Json, folder: str, api: str = "") -> None:
    page |= {
        "content": copy.deepcopy(content),
        "folderUid": folder,
        "version": page["version"] + 1,
        "updated": now(),
        "api": api,
    }


def turn_v2(store: Store, uid: str, api: str = "v2alpha1") -> None:
    """What saving it in the page of a version with dynamic dashboards does to a dashboard.

    A save by `save` replaces it by a classic one again.
    """
    page = store.dashboards[uid]
    kept = {key: page["content"][key] for key in ("title", "tags") if key in page["content"]}
    layout = {"kind": "GridLayout", "spec": {"items": []}}
    _write(page, {**kept, "elements": {}, "layout": layout}, page["folderUid"], api)


def _titled(store: Store, title: str, folder: str) -> str | None:
    found = (
        uid
        for uid, page in store.dashboards.items()
        if page["content"]["title"] == title and page["folderUid"] == folder
    )
    return next(found, None)


def delete(store: Store, uid: str) -> Json:
    """DELETE /api/dashboards/uid/UID."""
    if uid not in store.dashboards:
        raise _not_found()
    page = store.dashboards.pop(uid)
    title = page["content"]["title"]
    which = {"uid": uid} if store.traits.names_org else {"id": page["id"]}
    return {**which, "message": f"Dashboard {title} deleted", "title": title}


def search(store: Store, query: Any) -> list[Json]:
    """GET /api/search, by title from the end of the alphabet."""
    kind, tags = query.get("type"), query.getlist("tag")
    uids, folders = query.getlist("dashboardUIDs"), query.getlist("folderUIDs")
    rows: list[Json] = []
    if kind in (None, "dash-folder") and not tags and not uids and not folders:
        rows += [_folder(store, one) for one in store.folders.values()]
    if kind in (None, "dash-db"):
        for uid, page in store.dashboards.items():
            inside = page["folderUid"] or "general"
            if (
                set(tags) <= set(page["content"].get("tags", []))
                and (not uids or uid in uids)
                and (not folders or inside in folders)
            ):
                rows.append(_row(store, uid, page))
    if text := query.get("query"):
        rows = [row for row in rows if text.lower() in row["title"].lower()]
    limit, number = int(query.get("limit", 1000)), int(query.get("page", 1))
    rows.sort(key=lambda row: str(row["title"]).lower())
    return rows[limit * (number - 1) : limit * number]


def _organisation(store: Store) -> Json:
    return {"orgId": 1, "isDeleted": False} if store.traits.names_org else {}


def _row(store: Store, uid: str, page: Json) -> Json:
    name = slug(page["content"]["title"])
    row = {
        "id": page["id"],
        "uid": uid,
        "title": page["content"]["title"],
        "uri": f"db/{name}",
        "url": f"/d/{uid}/{name}",
        "slug": "",
        "type": "dash-db",
        "tags": page["content"].get("tags", []),
        "isStarred": False,
        "sortMeta": 0,
        **_organisation(store),
    }
    if folder := store.folders.get(page["folderUid"]):
        shown = slug(folder["title"]) if store.traits.names_org else folder["title"]
        row |= {
            "folderId": folder["id"],
            "folderUid": folder["uid"],
            "folderTitle": folder["title"],
            "folderUrl": f"/dashboards/f/{folder['uid']}/{shown}",
        }
    return row


def _folder(store: Store, folder: Json) -> Json:
    name = slug(folder["title"])
    return {
        "id": folder["id"],
        "uid": folder["uid"],
        "title": folder["title"],
        "uri": f"db/{name}",
        "url": f"/dashboards/f/{folder['uid']}/{name}",
        "slug": "",
        "type": "dash-folder",
        "tags": [],
        "isStarred": False,
        "sortMeta": 0,
        **_organisation(store),
    }
