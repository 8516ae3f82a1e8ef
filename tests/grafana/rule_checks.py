"""What the stand-in refuses in an alert rule, as recorded in scenarios 15 and 16."""

import re

from tests.grafana.store import Json, Store, bad_data, legal_uid, traced

# in the order in which they are checked
_STATES = (
    ("execErrState", "Error", ("Error", "OK", "Alerting", "KeepLast")),
    ("noDataState", "NoData", ("NoData", "OK", "Alerting", "KeepLast")),
)
DEFAULT_RECEIVER = "grafana-default-email"
_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}


def check_uid(uid: str, before: str) -> None:
    """Raise what the server says of a uid that it does not take."""
    if len(uid) > 40:
        raise traced(400, f"{before} '{uid}': UID is longer than 40 symbols")
    if not legal_uid(uid):
        text = "invalid format of UID. Only letters, numbers, '-' and '_' are allowed"
        raise traced(400, f"{before} '{uid}': {text}")


def check(store: Store, rule: Json) -> None:
    """Raise what the server says of a rule."""
    if not rule.get("folderUID"):
        raise traced(400, "invalid alert rule: folderUID must be set")
    content(store, rule)
    if rule["folderUID"] not in store.folders:
        raise traced(400, "invalid alert rule: folder does not exist")


def content(store: Store, rule: Json, before: str = "") -> None:
    """Raise what the server says of the rule itself, wherever it is."""
    seconds(rule.get("for", "0s"))
    if store.traits.rule_fields:
        seconds(rule.get("keep_firing_for", "0s"))
    for key, state, options in _STATES:
        if rule.get(key) not in options:
            raise store.refusal("rule state", state=state, option=rule.get(key, ""))
    if rule.get("missingSeriesEvalsToResolve") == 0:
        store.refuse("rule series")
    if not rule.get("data"):
        raise traced(400, f"{before}invalid alert rule: no queries or expressions are found")
    if not rule.get("title"):
        raise traced(400, f"{before}invalid alert rule: title is empty")
    if len(rule["title"]) > 190:
        text = "name length should not be greater than 190"
        raise traced(400, f"{before}invalid alert rule: {text}")
    for query in rule["data"]:
        _range(store, query)
    annotations = rule.get("annotations") or {}
    if "__panelId__" in annotations and "__dashboardUid__" not in annotations:
        raise store.refusal("rule panel alone")
    _notifies(store, rule.get("notification_settings") or {})


def _notifies(store: Store, settings: Json) -> None:
    receivers = {one["name"] for one in store.contact_points} | {DEFAULT_RECEIVER}
    receiver = settings.get("receiver")
    if receiver and receiver not in receivers:
        raise traced(500, "Internal Server Error")
    timings = {one["name"] for one in store.mute_timings}
    if set(settings.get("active_time_intervals") or []) - timings:
        store.refuse("rule timing unknown")


def _range(store: Store, query: Json) -> None:
    if query.get("datasourceUid") == "__expr__":
        return
    window = query.get("relativeTimeRange") or {"from": 0, "to": 0}
    start, end = window["from"], window["to"]
    if start <= end:
        raise store.refusal("rule range", start=start, end=end, ref=query["refId"])


def check_interval(interval: object) -> int:
    """The seconds, when the scheduler can do them."""
    if isinstance(interval, str):
        raise bad_data()
    number = interval if isinstance(interval, int) else 0
    if number <= 0 or number % 10:
        shown = f"{number}s" if number > -60 else f"-{-number // 60}m0s"
        text = (
            f"interval ({shown}) should be non-zero and divided exactly by scheduler interval: 10"
        )
        raise traced(400, f"invalid alert rule: {text}")
    return number


def seconds(duration: str) -> int:
    """Of `1m30s`."""
    parts = re.findall(r"(\d+)([wdhms])", duration)
    if "".join(map("".join, parts)) != duration:
        raise bad_data()
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def written(duration: str) -> str:
    """As the server writes it back."""
    rest = seconds(duration)
    if not rest:
        return "0s"
    text = ""
    for unit, size in _UNITS.items():
        if unit in "wd" and rest % size:
            continue
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text
