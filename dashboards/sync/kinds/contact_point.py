"""Contact points: secrets are sent when they change, and as [REDACTED] when they do not."""

from collections.abc import Collection

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import (
    REDACTED,
    Json,
    Sent,
    changed_meanwhile,
    check_provenance,
)

_IN_USE = (409, 500)  # the latter is 11.0's answer


class ContactPoint:
    """One integration with a contact point of its own."""

    name = "contact_point"
    lockable = True

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request."""
        rows = server.call(
            "read the contact points", lambda api: api.alertingprovisioning.get_contactpoints()
        )
        return {one["uid"]: one for one in rows if one["uid"] in uids}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`; what the server hides is no part of it, nor what we keep secret."""
        settings = {
            key: value
            for key, value in live.get("settings", {}).items()
            if key not in secrets and value != REDACTED
        }
        return {
            "name": live["name"],
            "type": live["type"],
            "settings": settings,
            "disableResolveMessage": live.get("disableResolveMessage", False),
        }

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:
        """See `Kind`; Grafana shows [REDACTED] even for what was never set."""
        return set(secrets) - set(live.get("settings", {}))

    def send(self, server: Server, sent: Sent) -> None:
        """See `Kind`; a secret that is left out would be deleted."""
        check_provenance(server, f"contact point {sent.uid!r}", sent.live)
        settings = dict(sent.tree["settings"])
        for name, secret in sent.secrets.items():
            there = (sent.live or {}).get("settings", {}).get(name)
            settings[name] = secret if name in sent.changed or there is None else there
        body = {"uid": sent.uid, **sent.tree, "settings": settings}
        if sent.live is None:
            server.call(
                f"make the contact point {sent.uid!r}",
                lambda api: api.alertingprovisioning.create_contactpoint(body, server.editable),
            )
            return
        if self.read(server, [sent.uid]).get(sent.uid) != sent.live:
            raise changed_meanwhile(f"contact point {sent.uid!r}")
        server.call(
            f"change the contact point {sent.uid!r}",
            lambda api: api.alertingprovisioning.update_contactpoint(
                sent.uid, body, server.editable
            ),
        )

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`."""
        try:
            server.call(
                f"delete the contact point {uid!r}",
                lambda api: api.alertingprovisioning.delete_contactpoint(uid),
            )
        except GrafanaError as error:
            if error.status not in _IN_USE:
                raise
            return "a rule or a policy still sends to it"
        return None
