"""Contact points: secrets are sent if they changed, otherwise as [REDACTED]."""

from collections.abc import Collection

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import (
    REDACTED,
    Json,
    Kind,
    Payload,
    check_provenance,
    stale_error,
)

_IN_USE = (409, 500)  # Grafana 11.0 returns 500


class ContactPoint(Kind):
    """A contact point with one integration."""

    name = "contact_point"
    lockable = True

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request."""
        rows = server.call(
            "read the contact points", lambda api: api.alertingprovisioning.get_contactpoints()
        )
        return {row["uid"]: row for row in rows if row["uid"] in uids}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`; without what the server redacts and what the config keeps secret."""
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
        """See `Kind`; Grafana returns [REDACTED] even for secrets that were never set."""
        return set(secrets) - set(live.get("settings", {}))

    def send(self, server: Server, payload: Payload) -> None:
        """See `Kind`; Grafana deletes a secret that is left out."""
        check_provenance(server, f"contact point {payload.uid!r}", payload.live)
        settings = dict(payload.tree["settings"])
        for name, secret in payload.secrets.items():
            redacted = (payload.live or {}).get("settings", {}).get(name)
            settings[name] = secret if name in payload.changed or redacted is None else redacted
        body = {"uid": payload.uid, **payload.tree, "settings": settings}
        if payload.live is None:
            server.call(
                f"create the contact point {payload.uid!r}",
                lambda api: api.alertingprovisioning.create_contactpoint(body, server.editable),
            )
            return
        if self.read(server, [payload.uid]).get(payload.uid) != payload.live:
            raise stale_error(f"contact point {payload.uid!r}")
        server.call(
            f"change the contact point {payload.uid!r}",
            lambda api: api.alertingprovisioning.update_contactpoint(
                payload.uid, body, server.editable
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
            return "a rule or a policy still uses it"
        return None
