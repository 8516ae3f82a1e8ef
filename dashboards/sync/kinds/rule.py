"""Alert rules, one by one: a rule that others put into the group is not touched."""

from collections.abc import Collection

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Sent, changed_meanwhile, check_provenance
from driftline.dashboards.sync.tree import pruned

_SERVERS_OWN = ("id", "uid", "updated", "provenance", "orgID", "version")
# What driftline sends; of what later servers know beside it, a value that does nothing is no edit.
_SENT = (
    *("title", "ruleGroup", "folderUID", "condition", "data", "noDataState", "execErrState"),
    *("for", "annotations", "labels", "isPaused", "notification_settings"),
)
_DOES_NOTHING = ("0s", 0, False)


class Rule:
    """An alert rule of the provisioning API."""

    name = "rule"
    lockable = True

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request for all."""
        rows = server.call(
            "read the alert rules", lambda api: api.alertingprovisioning.get_alertrules_all()
        )
        return {one["uid"]: one for one in rows or [] if one["uid"] in uids}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`; queries by their refId."""
        tree: Json = {
            key: one
            for key, one in pruned(live).items()
            if key not in _SERVERS_OWN and (key in _SENT or one not in _DOES_NOTHING)
        }
        tree["data"] = {query["refId"]: query for query in tree["data"]}
        return tree

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:
        """See `Kind`."""
        return set()

    def send(self, server: Server, sent: Sent) -> None:
        """See `Kind`."""
        what = f"alert rule {sent.uid!r}"
        check_provenance(server, what, sent.live)
        body = {
            **sent.tree,
            "uid": sent.uid,
            "orgID": server.settings.org,
            "data": list(sent.tree["data"].values()),
        }
        if sent.live is None:
            server.call(
                f"make the {what}",
                lambda api: api.alertingprovisioning.create_alertrule(body, server.editable),
            )
            return
        now = server.call(
            f"read the {what}", lambda api: api.alertingprovisioning.get_alertrule(sent.uid)
        )
        if now != sent.live:
            raise changed_meanwhile(what)
        server.call(
            f"change the {what}",
            lambda api: api.alertingprovisioning.update_alertrule(sent.uid, body, server.editable),
        )

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`."""
        server.call(
            f"delete the alert rule {uid!r}",
            lambda api: api.alertingprovisioning.delete_alertrule(uid),
        )
        return None
