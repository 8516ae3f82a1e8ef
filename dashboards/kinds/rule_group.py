"""How often a group's rules are evaluated: all that the group itself holds."""

from collections.abc import Collection

from dashboards.kinds.kind import Json, Sent
from dashboards.server import GrafanaError, Server, segment


class RuleGroup:
    """A group of a folder; its uid is `FOLDER/GROUP`."""

    name = "rule_group"

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request each."""
        found = {
            uid: server.get_or_none(_path(uid), f"read the rule group {uid!r}") for uid in uids
        }
        return {uid: one for uid, one in found.items() if one is not None}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:  # noqa: ARG002
        """See `Kind`."""
        return {"interval": live["interval"]}

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:  # noqa: ARG002
        """See `Kind`."""
        return set()

    def send(self, server: Server, sent: Sent) -> None:
        """See `Kind`; the rules go along as they are now, since one left out would be deleted."""
        doing = f"set the interval of the rule group {sent.uid!r}"
        now = server.get_or_none(_path(sent.uid), doing)
        if now is None:
            raise GrafanaError(f"rule group {sent.uid!r} has no rules: see why they failed")
        if now["interval"] == sent.tree["interval"]:
            return  # the first rule makes the group with 1 min
        server.send("PUT", _path(sent.uid), doing, {**now, **sent.tree})

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:  # noqa: ARG002
        """See `Kind`; a group goes with its last rule."""
        return None


def _path(uid: str) -> str:
    folder, _, group = uid.partition("/")
    return f"/v1/provisioning/folder/{segment(folder)}/rule-groups/{segment(group)}"
