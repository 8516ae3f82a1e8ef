"""Rule groups: the evaluation interval, which is all that a group itself defines."""

from collections.abc import Collection
from typing import Any

from driftline.dashboards.sync.extra_calls import segment
from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Kind, Payload


class RuleGroup(Kind):
    """A rule group in a folder; its UID is `FOLDER/GROUP`."""

    name = "rule_group"
    lockable = False

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request each."""
        groups = {uid: _find(server, uid, f"read the rule group {uid!r}") for uid in uids}
        return {uid: group for uid, group in groups.items() if group is not None}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`."""
        return {"interval": live["interval"]}

    def send(self, server: Server, payload: Payload) -> None:
        """See `Kind`; sends the current rules as well, because Grafana deletes those left out."""
        action = f"set the interval of the rule group {payload.uid!r}"
        current = _find(server, payload.uid, action)
        if current is None:
            raise GrafanaError(
                f"rule group {payload.uid!r} has no rules: fix the errors of its rules first"
            )
        if current["interval"] == payload.tree["interval"]:
            return  # for example 1 min, with which the first rule creates the group
        body = {**current, **payload.tree}
        server.call(
            action,
            lambda api: api.alertingprovisioning.update_rule_group(
                *_names(payload.uid), body, server.editable
            ),
        )

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`; Grafana deletes a group with its last rule."""
        return None


def _find(server: Server, uid: str, action: str) -> Any:
    return server.find(action, lambda api: api.alertingprovisioning.get_rule_group(*_names(uid)))


def _names(uid: str) -> tuple[str, str]:
    """Folder and group, encoded for a path."""
    folder, _, group = uid.partition("/")
    return segment(folder), segment(group)
