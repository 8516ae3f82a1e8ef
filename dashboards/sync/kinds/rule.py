"""Alert rules, written individually: rules of others in the same group are never changed."""

from collections.abc import Collection

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Kind, Payload, check_provenance, stale_error
from driftline.dashboards.sync.tree import pruned

_SERVER_FIELDS = ("id", "uid", "updated", "provenance", "orgID", "version")
# Fields that driftline sends. A value without effect in other fields is not an edit.
_OUR_FIELDS = (
    *("title", "ruleGroup", "folderUID", "condition", "data", "noDataState", "execErrState"),
    *("for", "annotations", "labels", "isPaused", "notification_settings"),
)
_NO_EFFECT = ("0s", 0, False)


class Rule(Kind):
    """An alert rule of the provisioning API."""

    name = "rule"
    lockable = True

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request for all."""
        rows = server.call(
            "read the alert rules", lambda api: api.alertingprovisioning.get_alertrules_all()
        )
        return {row["uid"]: row for row in rows or [] if row["uid"] in uids}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`; queries by refId."""
        tree: Json = {
            key: value
            for key, value in pruned(live).items()
            if key not in _SERVER_FIELDS and (key in _OUR_FIELDS or value not in _NO_EFFECT)
        }
        tree["data"] = {query["refId"]: query for query in tree["data"]}
        return tree

    def send(self, server: Server, payload: Payload) -> None:
        """See `Kind`."""
        name = f"alert rule {payload.uid!r}"
        check_provenance(server, name, payload.live)
        body = {
            **payload.tree,
            "uid": payload.uid,
            "orgID": server.settings.org,
            "data": list(payload.tree["data"].values()),
        }
        if payload.live is None:
            server.call(
                f"create the {name}",
                lambda api: api.alertingprovisioning.create_alertrule(body, server.editable),
            )
            return
        current = server.call(
            f"read the {name}", lambda api: api.alertingprovisioning.get_alertrule(payload.uid)
        )
        if current != payload.live:
            raise stale_error(name)
        server.call(
            f"change the {name}",
            lambda api: api.alertingprovisioning.update_alertrule(
                payload.uid, body, server.editable
            ),
        )

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`."""
        server.call(
            f"delete the alert rule {uid!r}",
            lambda api: api.alertingprovisioning.delete_alertrule(uid),
        )
        return None
