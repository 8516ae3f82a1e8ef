"""What Grafana 12 refuses otherwise than 11, and how each of them says it."""

import re
from typing import Any

from tests.grafana.versions import is_12

Json = dict[str, Any]
Refusal = tuple[int, Json]


def _plain(code: int, message: str, /, **more: Any) -> Refusal:
    return code, {"message": message, **more}


def _traced(status: int, message: str) -> Refusal:
    return _plain(status, message, traceID="")


def _alerting(status: int, key: str, message: str, **extra: Any) -> Refusal:
    body = {"statusCode": status, "messageId": f"alerting.{key}", "message": message}
    return status, body | ({"extra": extra} if extra else {})


def _alerting_traced(status: int, key: str, message: str) -> Refusal:
    return status, {**_alerting(status, key, message)[1], "traceID": ""}


_500 = _traced(500, "Internal Server Error")
_CHANGED = "The dashboard has been changed by someone else"
_FOLDER_CHANGED = _plain(
    412, "the folder has been changed by someone else", status="version-mismatch"
)
_POINT_USED = _traced(500, "failed to delete contact point")
_TITLE_TAKEN = (
    "[alerting.alert-rule.conflict] conflicting alert rule found [rule_uid: '{uid}', "
    "title: '{title}', namespace_uid: '{folder}']: rule title under the same organisation "
    "and folder should be unique"
)
_UID_TAKEN = "UNIQUE constraint failed: alert_rule.org_id, alert_rule.uid"
_TIMING = "notifications.time-intervals"
_SILENCE = "notifications.silences"
_ENDS_FIRST = "start time must be before end time"
_STATES = "invalid alert rule: unknown {state} state option {option}"
_RANGE = {"From": "{start}", "To": "{end}", "RefID": "{ref}"}
_ROUTE = "Invalid format of the submitted route: {why}. Correct the payload and try again."

# what, and the answers of 11 and of 12 to it; None: it is not refused
_REFUSALS: dict[str, tuple[Refusal | None, Refusal | None]] = {
    # as a parent, and to be deleted
    "folder unknown": (
        _plain(404, "folder not found", status="not-found"),
        _plain(404, "folder not found"),
    ),
    "folder uid taken": (
        _FOLDER_CHANGED,
        _plain(412, "the folder has been changed by someone else"),
    ),
    "folder changed": (_FOLDER_CHANGED, _plain(412, _CHANGED)),
    "folder title taken": (
        _plain(409, "a folder with the same name already exists in the current location"),
        None,
    ),
    "page title taken": (
        _plain(
            412,
            "A dashboard with the same name in the folder already exists",
            status="name-exists",
        ),
        None,
    ),
    "page id unknown": (_plain(404, "Dashboard not found", status="not-found"), None),
    # to somebody who may not delete it either
    "page to delete unknown": (None, _plain(404, "Dashboard not found", title="Not found")),
    "page of schema v2": (
        None,
        _plain(
            406,
            "dashboard api version not supported, use "
            "/apis/dashboard.grafana.app/{api}/namespaces/default/dashboards/{uid} instead",
        ),
    ),
    "source uid illegal": (
        None,
        (
            400,
            {
                "statusCode": 400,
                "messageId": "datasource.uidInvalid",
                "message": "Invalid datasource UID.",
            },
        ),
    ),
    "point uid taken": (
        _traced(
            500,
            "receiver configuration with UID '{uid}' already exist in contact point '{name}'. "
            "Please use unique identifiers for receivers across all contact points",
        ),
        _alerting(
            409,
            "notifications.contact-points.uidInUse",
            "Receiver configuration with UID '{uid}' already exists in contact point '{name}'. "
            "Please use unique identifiers for receivers across all contact points.",
            Name="{name}",
            UID="{uid}",
        ),
    ),
    "point without settings": (
        _traced(400, "invalid object specification: settings should not be empty"),
        _plain(
            500,
            "Internal Server Error - please inspect Grafana server log for details",
            error="Server Error",
        ),
    ),
    "point used by policy": (
        _POINT_USED,
        _alerting(
            409,
            "notifications.contact-points.referenced",
            "Contact point is currently referenced by a notification policy.",
        ),
    ),
    "point used by rule": (
        _POINT_USED,
        _alerting(
            409,
            "notifications.contact-points.used-by-rule",
            "Contact point is currently used in the notification settings of one or many "
            "alert rules.",
        ),
    ),
    "timing unknown": (
        _alerting_traced(404, f"{_TIMING}.notFound", "Not found"),
        _alerting(404, f"{_TIMING}.notFound", "NotFound"),
    ),
    "timing used by policy": (
        _alerting_traced(
            409,
            f"{_TIMING}.used",
            "Time interval is used by one or many notification policies",
        ),
        _alerting(409, f"{_TIMING}.used", "Conflict", UsedByRoutes=True),
    ),
    "timing used by rules": (
        None,
        _alerting(409, f"{_TIMING}.used", "Conflict", UsedByRules="{uids}"),
    ),
    "timing changed": (None, _alerting(409, "notifications.conflict", "Conflict")),
    "provenance dropped": (
        None,
        _alerting(
            403,
            "notifications.invalidProvenance",
            "Resource with provenance status 'api' cannot be managed via API that handles "
            "resources with provenance status 'none'. You must use appropriate API to manage "
            "this resource",
            SourceProvenance="api",
            TargetProvenance="none",
        ),
    ),
    "route wrong": (
        _traced(400, "invalid object specification: {why}"),
        _alerting(400, "notifications.routes.invalidFormat", _ROUTE, Error="{why}"),
    ),
    # 12 takes it, and can read nothing of the Alertmanager afterwards
    "root continues": (
        _traced(
            500,
            "change would result in an invalid configuration state: "
            "cannot have continue in root route",
        ),
        None,
    ),
    "configuration corrupted": (
        None,
        _alerting(
            500,
            "notification.configCorrupted",
            "Current Alertmanager configuration in the storage is corrupted. Reset the "
            "configuration or rollback to a recent valid one.",
            Error="cannot have continue in root route",
        ),
    ),
    "rule series": (
        None,
        _plain(
            400,
            "invalid alert rule: field `missing_series_evals_to_resolve` must be greater than 0",
        ),
    ),
    "rule timing unknown": (None, _500),
    "rule state": (_500, _plain(400, _STATES)),
    "rule range": (_500, _alerting(400, "alert-rule.invalidRelativeTime", "BadRequest", **_RANGE)),
    "rule panel alone": (
        _500,
        _plain(
            400,
            "invalid alert rule: both annotations __dashboardUid__ and __panelId__ must be "
            "specified",
        ),
    ),
    "rule title taken": (_traced(400, _TITLE_TAKEN), None),
    "rule uid taken": (
        _traced(400, _TITLE_TAKEN),
        _alerting(
            409,
            "alert-rule.conflict",
            "Failed to save alert rule '{uid}' in organization 1 due to conflict: " + _UID_TAKEN,
            Error=_UID_TAKEN,
            OrgID=1,
            RuleUID="{uid}",
        ),
    ),
    "group title twice": (_traced(400, f"failed to insert alert rules: {_TITLE_TAKEN}"), None),
    "group uid unknown": (_500, None),
    "group unknown": (
        _alerting_traced(404, "alert-rule.notFound", "Not found"),
        _alerting(404, "alert-rule.notFound", "NotFound"),
    ),
    "rule to be deleted as editable": (
        _500,
        _alerting(
            409,
            "provenanceMismatch",
            "cannot delete with provided provenance '', needs 'api'",
            Operation="delete",
            ProvidedProvenance="",
            StoredProvenance="api",
        ),
    ),
    "silence unknown": (
        _traced(404, "silence not found"),
        _alerting(
            404,
            f"{_SILENCE}.notFound",
            f"[alerting.{_SILENCE}.notFound] silence {{uid}} not found",
        ),
    ),
    "silence ends first": (
        _traced(400, f"{_ENDS_FIRST}: unable to create silence"),
        _alerting(
            400,
            f"{_SILENCE}.badRequest",
            f"[alerting.{_SILENCE}.badRequest] invalid silence: {_ENDS_FIRST}: unable to "
            "create silence",
        ),
    ),
    "silence invalid": (
        _traced(400, "unable to save silence: silence invalid: {why}: unable to create silence"),
        _alerting(
            400,
            f"{_SILENCE}.badRequest",
            f"[alerting.{_SILENCE}.badRequest] invalid silence: unable to upsert silence: "
            "invalid silence: {why}: unable to create silence",
        ),
    ),
}


def refusal(version: str, what: str, values: Json) -> Refusal | None:
    """Status and body, with the values in their places; None if this version does not mind."""
    found = _REFUSALS[what][is_12(version)]
    return found and (found[0], _filled(found[1], values))


def _filled(template: Any, values: Json) -> Any:
    if isinstance(template, dict):
        return {key: _filled(one, values) for key, one in template.items()}
    if not isinstance(template, str):
        return template
    if whole := re.fullmatch(r"\{(\w+)\}", template):
        return values[whole[1]]
    return template.format_map(values)
