"""Mute timings; plain dicts, because the SDK's model does not match the API."""

from collections.abc import Collection

from driftline.dashboards.sync import extra_calls
from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Kind, Payload, check_provenance, stale_error

_IN_USE = 409


class MuteTiming(Kind):
    """A mute timing; its name is its UID."""

    name = "mute_timing"
    lockable = True

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request."""
        rows = server.call(
            "read the mute timings", lambda api: api.alertingprovisioning.get_mute_timings()
        )
        return {row["name"]: row for row in rows or [] if row["name"] in uids}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`."""
        return {"time_intervals": live["time_intervals"]}

    def send(self, server: Server, payload: Payload) -> None:
        """See `Kind`."""
        check_provenance(server, f"mute timing {payload.uid!r}", payload.live)
        body = {"name": payload.uid, **payload.tree}
        if payload.live is None:
            server.call(
                f"create the mute timing {payload.uid!r}",
                lambda api: api.alertingprovisioning.create_mute_timing(body, server.editable),
            )
            return
        if self.read(server, [payload.uid]).get(payload.uid) != payload.live:
            raise stale_error(f"mute timing {payload.uid!r}")
        server.call(
            f"change the mute timing {payload.uid!r}",
            lambda api: extra_calls.change_mute_timing(
                api, payload.uid, body, editable=server.editable
            ),
        )

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`."""
        name = extra_calls.segment(uid)
        try:
            server.call(
                f"delete the mute timing {uid!r}",
                lambda api: api.alertingprovisioning.delete_mute_timing(name),
            )
        except GrafanaError as error:
            if error.status != _IN_USE:
                raise
            return "a policy still uses it"
        return None
