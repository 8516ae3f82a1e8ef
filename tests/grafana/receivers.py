"""The stand-in's contact points, mute timings and policies, as recorded in 12, 13 and 14."""

import hashlib
import json
import re
import zoneinfo
from typing import Any

from tests.grafana.rule_checks import DEFAULT_RECEIVER, check_uid
from tests.grafana.store import Json, Store, bad_data, new_uid, refused, traced

_SECRET = {
    "webhook": ("authorization_credentials", "password"),
    "slack": ("token", "url"),
    "pagerduty": ("integrationKey",),
    "email": (),
    "teams": (),
    # not recorded
    "opsgenie": ("apiKey",),
    "discord": ("url",),
    "telegram": ("bottoken",),
    "googlechat": ("url",),
    "victorops": ("url",),
    "pushover": ("apiToken", "userKey"),
}
_DEFAULT_POINT = {
    "uid": "",
    "name": "email receiver",
    "type": "email",
    "settings": {"addresses": "<example@email.com>"},
    "disableResolveMessage": False,
}
_DEFAULT_POLICY: Json = {
    "receiver": DEFAULT_RECEIVER,
    "group_by": ["grafana_folder", "alertname"],
}
_REDACTED = "[REDACTED]"


def _shown(store: Store, point: Json) -> Json:
    every = not store.traits.set_secrets_only
    keys = [key for key in _SECRET[point["type"]] if every or point["settings"].get(key)]
    hidden = dict.fromkeys(keys, _REDACTED)
    shown = {
        "uid": point["uid"],
        "name": point["name"],
        "type": point["type"],
        "settings": {**point["settings"], **hidden},
        "disableResolveMessage": point["disableResolveMessage"],
    }
    return shown | ({"provenance": point["provenance"]} if point["provenance"] else {})


def points(store: Store, name: str | None) -> list[Json] | None:
    """GET contact-points; null in 11 when no name matches."""
    rows = [_DEFAULT_POINT, *(_shown(store, one) for one in store.contact_points)]
    rows.sort(key=lambda one: str(one["name"]))
    found = [one for one in rows if name is None or one["name"] == name]
    return found or ([] if store.traits.empty_list else None)


def _check(store: Store, body: Json, name: str, uid: str) -> None:
    settings, kind = body.get("settings"), body.get("type")
    if not settings and settings != {}:
        raise store.refusal("point without settings")
    where = (
        "invalid object specification: failed to validate integration "
        f'"{name}" (UID {uid}) of type "{kind}": '
    )
    if kind not in _SECRET:
        raise traced(400, f"{where}notifier {kind} is not supported")
    if kind in ("webhook", "teams") and not settings.get("url"):
        raise traced(400, f"{where}required field 'url' is not specified")
    if kind == "email" and not settings.get("addresses"):
        raise traced(400, f"{where}could not find addresses in settings")
    if kind == "slack" and not (settings.get("token") or settings.get("url")):
        raise traced(400, f"{where}token must be specified when using the Slack chat API")
    if kind == "webhook" and settings.get("username") and settings.get("authorization_credentials"):
        text = "both HTTP Basic Authentication and Authorization Header are set"
        raise traced(400, f"{where}{text}, only 1 is permitted")


def create_point(store: Store, body: Json, provenance: str) -> Json:
    """POST contact-points."""
    uid, name = body.get("uid") or "", body.get("name", "")
    _check(store, body, name, uid)
    check_uid(uid, "invalid object specification\ncannot create contact point with UID")
    for one in store.contact_points:
        if one["uid"] == uid:
            raise store.refusal("point uid taken", uid=uid, name=one["name"])
    point = {
        "uid": uid or new_uid(),
        "name": name,
        "type": body["type"],
        "settings": dict(body["settings"]),
        "disableResolveMessage": body.get("disableResolveMessage", False),
        "provenance": provenance,
    }
    store.contact_points.append(point)
    return {key: one for key, one in _shown(store, point).items() if key != "provenance"}


def update_point(store: Store, uid: str, body: Json, provenance: str) -> Json:
    """PUT contact-points/UID: [REDACTED] keeps a secret, leaving it out deletes it."""
    point = _point(store, uid)
    if point is None:
        text = f"object not found: contact point with uid '{uid}' not found"
        raise traced(404, text)
    _check(store, body, body["name"], uid)
    if point["provenance"] == "api" and not provenance:
        raise traced(500, "cannot change provenance from 'api' to ''")
    settings = dict(body["settings"])
    for key in _SECRET[body["type"]]:
        if settings.get(key) == _REDACTED:
            settings[key] = point["settings"].get(key, "")
            if not settings[key]:
                del settings[key]
    alone = sum(one["name"] == point["name"] for one in store.contact_points) == 1
    if alone:
        _rename(store.policies, point["name"], body["name"])
    point |= {
        "name": body["name"],
        "type": body["type"],
        "settings": settings,
        "disableResolveMessage": body.get("disableResolveMessage", False),
        "provenance": provenance,
    }
    return {"message": "contactpoint updated"}


def _rename(route: Json, old: str, new: str) -> None:
    if route.get("receiver") == old:
        route["receiver"] = new
    for inner in route.get("routes") or []:
        _rename(inner, old, new)


def _point(store: Store, uid: str) -> Json | None:
    return next((one for one in store.contact_points if one["uid"] == uid), None)


def delete_point(store: Store, uid: str) -> Json:
    """DELETE contact-points/UID."""
    if point := _point(store, uid):
        used = {
            rule["notification_settings"]["receiver"]
            for rule in store.rules
            if rule.get("notification_settings")
        }
        alone = sum(one["name"] == point["name"] for one in store.contact_points) == 1
        if alone and point["name"] in _receivers(policies(store)):
            raise store.refusal("point used by policy")
        if alone and point["name"] in used:
            raise store.refusal("point used by rule")
        store.contact_points.remove(point)
    return {"message": "contactpoint deleted"}


def _receivers(route: Json) -> list[str]:
    inner = [name for one in route.get("routes") or [] for name in _receivers(one)]
    return [route.get("receiver", ""), *inner]


def _timing_version(timing: Json) -> str:
    content = json.dumps([timing["name"], timing["time_intervals"]])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _shown_timing(store: Store, timing: Json) -> Json:
    shown = {"name": timing["name"], "time_intervals": timing["time_intervals"]}
    if store.traits.timing_versions:
        shown["version"] = _timing_version(timing)
    return shown | ({"provenance": timing["provenance"]} if timing["provenance"] else {})


def timings(store: Store) -> list[Json]:
    """GET mute-timings."""
    found = [_shown_timing(store, one) for one in store.mute_timings]
    if store.traits.timing_versions:
        found.sort(key=lambda one: str(one["name"]))
    return found


def timing(store: Store, name: str) -> Json:
    """GET mute-timings/NAME."""
    for one in store.mute_timings:
        if one["name"] == name:
            return _shown_timing(store, one)
    raise store.refusal("timing unknown")


_DAY = "(sunday|monday|tuesday|wednesday|thursday|friday|saturday)"
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)


def _intervals(body: Json) -> list[Json]:
    found = body.get("time_intervals")
    if not body.get("name") or not isinstance(found, list):
        raise bad_data()
    return [_interval(one) for one in found]


def _interval(interval: Json) -> Json:
    for one in interval.get("times", []):
        if not isinstance(one, dict) or not _forward(one):
            raise bad_data()
    for one in interval.get("weekdays", []):
        if not re.fullmatch(f"{_DAY}(:{_DAY})?", one):
            raise bad_data()
    for one in interval.get("days_of_month", []):
        if any(not 1 <= abs(int(number)) <= 31 for number in one.split(":")):
            raise bad_data()
    if "location" in interval:
        try:
            zoneinfo.ZoneInfo(interval["location"])
        except (KeyError, ValueError, OSError):
            raise bad_data() from None
    shown = dict(interval)
    if "months" in shown:
        shown["months"] = [":".join(map(_month, one.split(":"))) for one in shown["months"]]
    return shown


def _forward(times: Json) -> bool:
    start, end = times.get("start_time", ""), times.get("end_time", "")
    clock = r"([01]\d|2[0-3]):[0-5]\d|24:00"
    return bool(re.fullmatch(clock, start) and re.fullmatch(clock, end)) and start < end


def _month(name: str) -> str:
    return str(_MONTHS.index(name) + 1) if name in _MONTHS else name


def create_timing(store: Store, body: Json, provenance: str) -> Json:
    """POST mute-timings."""
    intervals = _intervals(body)
    if any(one["name"] == body["name"] for one in store.mute_timings):
        text = (
            "Time interval with this name already exists. Use a different name or update "
            "existing one."
        )
        more = {"messageId": "alerting.notifications.time-intervals.nameExists"}
        raise refused(400, text, **more, statusCode=400, traceID="")
    made = {"name": body["name"], "time_intervals": intervals, "provenance": provenance}
    store.mute_timings.append(made)
    return _shown_timing(store, made)


def update_timing(store: Store, name: str, body: Json, provenance: str) -> Json:
    """PUT mute-timings/NAME."""
    versioned = store.traits.timing_versions
    given = {"name": name, **body} if versioned else {**body, "name": name}
    intervals = _intervals(given)
    if not store.mute_timings and not versioned:
        return {"name": "", "time_intervals": None}
    for one in store.mute_timings:
        if one["name"] == given["name"]:
            _unchanged(store, one, body.get("version"))
            if one["provenance"] and not provenance:
                store.refuse("provenance dropped")
            one |= {"time_intervals": intervals, "provenance": provenance}
            return _shown_timing(store, one)
    raise store.refusal("timing unknown")


def _unchanged(store: Store, timing: Json, version: str | None) -> None:
    if version and version != _timing_version(timing):
        store.refuse("timing changed")


def delete_timing(store: Store, name: str, query: Any) -> None:
    """DELETE mute-timings/NAME."""
    for one in store.mute_timings:
        if one["name"] == name:
            _unchanged(store, one, query.get("version"))
    if name in _muted(store.policies):
        raise store.refusal("timing used by policy")
    if uids := [rule["uid"] for rule in store.rules if name in _muted_by(rule)]:
        store.refuse("timing used by rules", uids=uids)
    store.mute_timings = [one for one in store.mute_timings if one["name"] != name]


def _muted(route: Json) -> set[str]:
    found = set(route.get("mute_time_intervals") or [])
    return found.union(*(_muted(one) for one in route.get("routes") or []))


def _muted_by(rule: Json) -> list[str]:
    settings = rule.get("notification_settings") or {}
    keys = ("mute_time_intervals", "active_time_intervals")
    return [name for key in keys for name in settings.get(key) or []]


def policies(store: Store) -> Json:
    """GET policies."""
    return store.policies or _DEFAULT_POLICY


def reset_policies(store: Store) -> Json:
    """DELETE policies."""
    store.policies = {}
    return _DEFAULT_POLICY


def reset(store: Store) -> Json:
    """DELETE of the whole configuration."""
    store.corrupted = False
    store.contact_points, store.mute_timings, store.policies = [], [], {}
    return {"message": "configuration deleted; the default is applied"}


def set_policies(store: Store, body: Json, provenance: str) -> Json:
    """PUT policies: the whole tree."""
    if not body.get("receiver") or "mute_time_intervals" in body:
        raise bad_data()
    tree = _route(body)
    if body.get("continue"):
        store.refuse("root continues")
    known = {point["name"] for point in store.contact_points} | {DEFAULT_RECEIVER}
    for name in _receivers(tree):
        if name and name not in known:
            raise store.refusal("route wrong", why=f"receiver '{name}' does not exist")
    timings_ = {one["name"] for one in store.mute_timings}
    for name in sorted(_muted(tree) - timings_):
        why = f"mute time interval '{name}' does not exist"
        raise store.refusal("route wrong", why=why)
    if store.policies.get("provenance") and not provenance:
        store.refuse("provenance dropped")
    store.corrupted = "continue" in tree
    tree.pop("provenance", None)
    store.policies = tree | ({"provenance": provenance} if provenance else {})
    return {"message": "policies updated"}


_WAITS = ("group_wait", "group_interval", "repeat_interval")


def _route(route: Json) -> Json:
    made = {key: value for key, value in route.items() if value not in (None, [], False)}
    group_by = route.get("group_by") or []
    if len(set(group_by)) < len(group_by) or ("..." in group_by and len(group_by) > 1):
        raise bad_data()
    for key in _WAITS:
        if key in route:
            made[key] = _duration(route[key])
    for matcher in route.get("object_matchers") or []:
        _matcher(matcher)
    if route.get("routes"):
        made["routes"] = [_route(one) for one in route["routes"]]
    return made


def _matcher(matcher: Any) -> None:
    operator = matcher[1]
    if operator not in ("=", "!=", "=~", "!~"):
        raise bad_data()
    if "~" in operator and len(matcher) > 2:
        try:
            re.compile(matcher[2])
        except re.error:
            raise bad_data() from None


_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}


def _duration(text: str) -> str:
    """As Prometheus writes it."""
    parts = re.findall(r"(\d+)([wdhms])", text)
    seconds = sum(int(number) * _UNITS[unit] for number, unit in parts)
    if not seconds or "".join(map("".join, parts)) != text:
        raise bad_data()
    written = ""
    for unit, size in _UNITS.items():
        if unit in "wd" and seconds % size:
            continue
        count, seconds = divmod(seconds, size)
        written += f"{count}{unit}" if count else ""
    return written
