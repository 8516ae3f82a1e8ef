"""The stand-in's alert rules and groups, as recorded in scenarios 15 to 17."""

import copy

from tests.grafana import rule_checks
from tests.grafana.store import Json, RefusedError, Store, new_uid, now, traced

_DEFAULT_INTERVAL = 60
_FIELDS = ("title", "condition", "noDataState", "execErrState")
_SERIES = "missingSeriesEvalsToResolve"


def _stored(store: Store, body: Json, folder: str, group: str, provenance: str) -> Json:
    data = []
    for query in body["data"]:
        model = {"intervalMs": 1000, "maxDataPoints": 43200, **query["model"]}
        data.append(
            {
                "refId": query["refId"],
                "queryType": query.get("queryType", ""),
                "relativeTimeRange": query.get("relativeTimeRange", {"from": 0, "to": 0}),
                "datasourceUid": query["datasourceUid"],
                "model": dict(sorted(model.items())),
            }
        )
    return {
        "id": store.next_id(),
        "uid": body.get("uid") or new_uid(),
        "orgID": body.get("orgID") or 1,
        "folderUID": folder,
        "ruleGroup": group,
        **{key: body.get(key, "") for key in _FIELDS},
        "data": copy.deepcopy(data),
        "updated": now(),
        "for": rule_checks.written(body.get("for", "0s")),
        "annotations": body.get("annotations") or {},
        "labels": body.get("labels") or {},
        "isPaused": body.get("isPaused", False),
        "provenance": provenance,
        "notification_settings": body.get("notification_settings"),
        **(_later(body) if store.traits.rule_fields else {}),
    }


def _later(body: Json) -> Json:
    """What version 12 added; a recording rule has no condition and no states."""
    record = body.get("record")
    return {
        "keep_firing_for": rule_checks.written(body.get("keep_firing_for", "0s")),
        _SERIES: body.get(_SERIES),
        "record": record,
        **(dict.fromkeys(("condition", "noDataState", "execErrState"), "") if record else {}),
    }


def shown(rule: Json) -> Json:
    """As it is read: what is empty is left out."""
    hidden = ("provenance", "annotations", "labels", _SERIES)
    return {key: one for key, one in copy.deepcopy(rule).items() if one or key not in hidden}


def _unknown() -> Exception:
    return RefusedError(404, "")


def find(store: Store, uid: str) -> Json:
    """A rule by its uid."""
    for rule in store.rules:
        if rule["uid"] == uid:
            return rule
    raise _unknown()


def _unique(store: Store, title: str, folder: str, uid: str) -> None:
    for rule in store.rules:
        if rule["title"] == title and rule["folderUID"] == folder and rule["uid"] != uid:
            store.refuse("rule title taken", uid=uid, title=title, folder=folder)


def create(store: Store, body: Json, provenance: str) -> Json:
    """POST alert-rules."""
    rule_checks.check(store, body)
    uid = body.get("uid") or ""
    rule_checks.check_uid(uid, "invalid alert rule\ncannot create rule with UID")
    if uid and any(rule["uid"] == uid for rule in store.rules):
        values = {"uid": uid, "title": body["title"], "folder": body["folderUID"]}
        raise store.refusal("rule uid taken", **values)
    _unique(store, body["title"], body["folderUID"], uid)
    rule = _stored(store, body, body["folderUID"], body.get("ruleGroup", ""), provenance)
    store.rules.append(rule)
    store.positions.pop(rule["uid"], None)
    store.intervals.setdefault((rule["folderUID"], rule["ruleGroup"]), _DEFAULT_INTERVAL)
    return shown(rule)


def update(store: Store, uid: str, body: Json, provenance: str) -> Json:
    """PUT alert-rules/UID; the uid of the path wins."""
    rule = find(store, uid)
    rule_checks.check(store, body)
    _unique(store, body["title"], body["folderUID"], uid)
    if rule["provenance"] and not provenance:
        raise traced(500, "Internal Server Error")
    new = _stored(
        store, {**body, "uid": uid}, body["folderUID"], body.get("ruleGroup", ""), provenance
    )
    rule |= {**new, "id": rule["id"]}
    store.intervals.setdefault((rule["folderUID"], rule["ruleGroup"]), _DEFAULT_INTERVAL)
    return shown(rule)


def delete(store: Store, uid: str, provenance: str) -> None:
    """DELETE alert-rules/UID: also one that never was."""
    for rule in store.rules:
        if rule["uid"] == uid:
            if rule["provenance"] and not provenance:
                raise store.refusal("rule to be deleted as editable")
            store.rules.remove(rule)
            return


def _in_group(store: Store, folder: str, group: str) -> list[Json]:
    found = [r for r in store.rules if (r["folderUID"], r["ruleGroup"]) == (folder, group)]
    if store.traits.keeps_order:
        found.sort(key=lambda rule: store.positions.get(rule["uid"], 1))
    return found


def group(store: Store, folder: str, name: str) -> Json:
    """GET folder/F/rule-groups/G."""
    rules = _in_group(store, folder, name)
    if not rules:
        raise store.refusal("group unknown")
    return {
        "title": name,
        "folderUid": folder,
        "interval": store.intervals[folder, name],
        "rules": [shown(rule) for rule in rules],
    }


def put_group(store: Store, folder: str, name: str, body: Json, provenance: str) -> Json:
    """PUT folder/F/rule-groups/G: what is left out is deleted, unless all is."""
    interval = rule_checks.check_interval(body.get("interval"))
    given = body.get("rules") or []
    known = {rule["uid"] for rule in store.rules}
    uids = [rule["uid"] for rule in given if rule.get("uid")]
    if set(uids) - known:
        store.refuse("group uid unknown")
    for uid in uids:
        if uids.count(uid) > 1:
            text = (
                "failed to update alert rules: version conflict while updating a record in the "
                f"database with optimistic locking: alert rule UID {uid} version 8"
            )
            raise traced(409, text)
    new = [rule for rule in given if not rule.get("uid")]
    before = "failed to insert alert rules: "
    titles = [rule["title"] for rule in given]
    for rule in given:
        rule_checks.content(store, rule, before if rule in new else "")
        if titles.count(rule["title"]) > 1:
            store.refuse("group title twice", uid="<uid>", title=rule["title"], folder=folder)
    if given:
        gone = [r for r in _in_group(store, folder, name) if r["uid"] not in uids]
        store.rules = [rule for rule in store.rules if rule not in gone]
    for position, rule in enumerate(given, 1):
        made = _stored(store, rule, folder, name, provenance)
        store.positions[made["uid"]] = position
        if made["uid"] in known:
            old = find(store, rule["uid"])
            old |= {**made, "id": old["id"]}
        else:
            store.rules.append(made)
    store.intervals[folder, name] = interval
    echoed = [
        {
            **_stored(store, r, r["folderUID"], r["ruleGroup"], ""),
            "id": 0,
            "updated": "0001-01-01T00:00:00Z",
            "uid": r.get("uid", ""),
        }
        for r in given
    ]
    unsaid = ("provenance", _SERIES)
    rules = [{k: v for k, v in one.items() if v or k not in unsaid} for one in echoed]
    return {
        "title": name,
        "folderUid": folder,
        "interval": interval,
        "rules": rules if "rules" in body else None,
    }


def delete_group(store: Store, folder: str, name: str) -> None:
    """DELETE folder/F/rule-groups/G."""
    rules = _in_group(store, folder, name)
    if not rules:
        raise store.refusal("group unknown")
    store.rules = [rule for rule in store.rules if rule not in rules]
