"""Folders: one a team, one of what concerns all."""

from collections.abc import Collection

from driftline.dashboards.sync import extra_calls
from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Sent


class Folder:
    """A folder, of which driftline says the title only."""

    name = "folder"
    lockable = False

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request."""
        return {uid: one for uid, one in server.folders().items() if uid in uids}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`."""
        return {"title": live["title"]}

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:
        """See `Kind`."""
        return set()

    def send(self, server: Server, sent: Sent) -> None:
        """See `Kind`; the version guards against another's change."""
        title = sent.tree["title"]
        if sent.live is None:
            server.call(
                f"make the folder {title!r}", lambda api: api.folder.create_folder(title, sent.uid)
            )
            return
        now = server.call(
            f"read the folder {sent.uid!r}", lambda api: api.folder.get_folder(sent.uid)
        )
        server.call(
            f"rename the folder {sent.uid!r}",
            lambda api: api.folder.update_folder(sent.uid, title, now["version"]),
        )

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`; one that holds anything stays, since it is not driftline's."""
        counts = server.call(
            f"look into the folder {uid!r}", lambda api: extra_calls.held(api, uid)
        )
        held = {what: number for what, number in counts.items() if number}
        if held:
            inside = ", ".join(f"{number} {what}" for what, number in held.items())
            return f"others have something in it ({inside})"
        server.call(f"delete the folder {uid!r}", lambda api: api.folder.delete_folder(uid))
        return None
