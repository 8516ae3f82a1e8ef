"""How often a group's rules are evaluated: all that the group itself holds."""

from collections.abc import Collection
from typing import Any

from driftline.dashboards.sync.extra_calls import segment
from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Sent


class RuleGroup:
    """A group of a folder; its uid is `FOLDER/GROUP`."""

    name = "rule_group"
    lockable = False

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request each."""
        found = {uid: _found(server, uid, f"read the rule group {uid!r}") for uid in uids}
        return {uid: one for uid, one in found.items() if one is not None}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`."""
        return {"interval": live["interval"]}

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:
        """See `Kind`."""
        return set()

    def send(self, server: Server, sent: Sent) -> None:
        """See `Kind`; the rules go along as they are now, since one left out would be deleted."""
        doing = f"set the interval of the rule group {sent.uid!r}"
        now = _found(server, sent.uid, doing)
        if now is None:
            raise GrafanaError(f"rule group {sent.uid!r} has no rules: see why they failed")
        if now["interval"] == sent.tree["interval"]:
            return  # the first rule makes the group with 1 min
        body = {**now, **sent.tree}
        server.call(
            doing,
            lambda api: api.alertingprovisioning.update_rule_group(
                *_names(sent.uid), body, server.editable
            ),
        )

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`; a group goes with its last rule."""
        return None


def _found(server: Server, uid: str, doing: str) -> Any:
    return server.find(doing, lambda api: api.alertingprovisioning.get_rule_group(*_names(uid)))


def _names(uid: str) -> tuple[str, str]:
    """Folder and group, as they stand in a path."""
    folder, _, group = uid.partition("/")
    return segment(folder), segment(group)
