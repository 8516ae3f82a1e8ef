"""Folders: one per team and one shared folder."""

from collections.abc import Collection

from driftline.dashboards.sync import extra_calls
from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Kind, Payload


class Folder(Kind):
    """A folder; driftline manages only its title."""

    name = "folder"
    lockable = False

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request."""
        return {uid: folder for uid, folder in server.folders().items() if uid in uids}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`."""
        return {"title": live["title"]}

    def send(self, server: Server, payload: Payload) -> None:
        """See `Kind`; Grafana checks the version against concurrent changes."""
        title = payload.tree["title"]
        if payload.live is None:
            server.call(
                f"create the folder {title!r}",
                lambda api: api.folder.create_folder(title, payload.uid),
            )
            return
        current = server.call(
            f"read the folder {payload.uid!r}", lambda api: api.folder.get_folder(payload.uid)
        )
        server.call(
            f"rename the folder {payload.uid!r}",
            lambda api: api.folder.update_folder(payload.uid, title, current["version"]),
        )

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`; a folder that is not empty is kept, because others use it."""
        counts = server.call(f"list the folder {uid!r}", lambda api: extra_calls.contents(api, uid))
        contents = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        if contents:
            return f"it contains objects of others ({contents})"
        server.call(f"delete the folder {uid!r}", lambda api: api.folder.delete_folder(uid))
        return None
