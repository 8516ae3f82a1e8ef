"""The stand-in's silences, as recorded in scenario 19."""

import re
import uuid
from datetime import UTC, datetime

from tests.grafana.store import Json, Store, bad_data, now, traced


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise bad_data() from None


def _check(store: Store, body: Json) -> None:
    before = "silence failed validation: validation failure list:\nvalidation failure list:\n"
    if "startsAt" in body:
        _time(body["startsAt"])
    if not body.get("matchers"):
        raise traced(400, f"{before}matchers in body should have at least 1 items")
    if "startsAt" not in body:
        raise traced(400, f"{before}startsAt in body is required")
    for one in body["matchers"]:
        if one.get("isRegex"):
            try:
                re.compile(one["value"])
            except re.error:
                why = (
                    f'invalid label matcher 0: invalid regular expression "{one["value"]}": '
                    f"error parsing regexp: missing closing ): `{one['value']}`"
                )
                raise store.refusal("silence invalid", why=why) from None
    if _time(body["endsAt"]) <= max(_time(body["startsAt"]), datetime.now(UTC)):
        raise store.refusal("silence ends first")
    if not any(one["value"] for one in body["matchers"]):
        why = "at least one matcher must not match the empty string"
        raise store.refusal("silence invalid", why=why)


def create(store: Store, body: Json) -> Json:
    """POST silences: one with an id is an update."""
    _check(store, body)
    old = body.get("id")
    if old:
        get(store, old)
    matchers = [{"isEqual": True, **one} for one in body["matchers"]]
    number = old
    if not old or not _same(store.silences[old], body, matchers):
        number = str(uuid.uuid4())
        if old:
            expire(store, old)
    kept = {key: body[key] for key in ("startsAt", "endsAt", "createdBy", "comment")}
    store.silences[str(number)] = {
        **kept,
        "startsAt": _written(body["startsAt"]),
        "endsAt": _written(body["endsAt"]),
        "id": number,
        "matchers": matchers,
        "updatedAt": now(),
        "status": {"state": "active"},
    }
    return {"silenceID": number}


def _same(old: Json, body: Json, matchers: list[Json]) -> bool:
    """An active silence may change its end and its words alone."""
    begins = _time(old["startsAt"]) == _time(body["startsAt"])
    return begins and _meaning(old["matchers"]) == _meaning(matchers)


def _written(text: str) -> str:
    return _time(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _meaning(matchers: list[Json]) -> list[tuple[str, ...]]:
    return sorted(tuple(str(one[key]) for key in sorted(one)) for one in matchers)


def mutes(silence: Json, labels: dict[str, str]) -> bool:
    """Whether an alert is silent; a pattern is of the whole value."""
    return silence["status"]["state"] == "active" and all(
        bool(_pattern(one).fullmatch(labels.get(one["name"], ""))) == one["isEqual"]
        for one in silence["matchers"]
    )


def _pattern(matcher: Json) -> re.Pattern[str]:
    return re.compile(matcher["value"] if matcher["isRegex"] else re.escape(matcher["value"]))


def get(store: Store, number: str) -> Json:
    """GET silence/ID."""
    if number not in store.silences:
        raise store.refusal("silence unknown", uid=number)
    return store.silences[number]


def listed(store: Store) -> list[Json]:
    """GET silences: the active ones first."""
    rows = list(store.silences.values())
    return sorted(rows, key=lambda one: one["status"]["state"] != "active")


def expire(store: Store, number: str) -> Json:
    """DELETE silence/ID."""
    get(store, number)["status"] = {"state": "expired"}
    return {"message": "silence deleted"}
