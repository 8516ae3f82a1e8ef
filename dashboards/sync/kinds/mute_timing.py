"""Mute timings; plain dicts, as the SDK's model of them is not what the API takes."""

from collections.abc import Collection

from driftline.dashboards.sync import extra_calls
from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Sent, changed_meanwhile, check_provenance

_IN_USE = 409


class MuteTiming:
    """A mute timing, whose name is its uid."""

    name = "mute_timing"
    lockable = True

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request."""
        rows = server.call(
            "read the mute timings", lambda api: api.alertingprovisioning.get_mute_timings()
        )
        return {one["name"]: one for one in rows or [] if one["name"] in uids}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`."""
        return {"time_intervals": live["time_intervals"]}

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:
        """See `Kind`."""
        return set()

    def send(self, server: Server, sent: Sent) -> None:
        """See `Kind`."""
        check_provenance(server, f"mute timing {sent.uid!r}", sent.live)
        body = {"name": sent.uid, **sent.tree}
        if sent.live is None:
            server.call(
                f"make the mute timing {sent.uid!r}",
                lambda api: api.alertingprovisioning.create_mute_timing(body, server.editable),
            )
            return
        if self.read(server, [sent.uid]).get(sent.uid) != sent.live:
            raise changed_meanwhile(f"mute timing {sent.uid!r}")
        server.call(
            f"change the mute timing {sent.uid!r}",
            lambda api: extra_calls.change_mute_timing(
                api, sent.uid, body, editable=server.editable
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
