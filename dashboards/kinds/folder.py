"""Folders: one a team, one of what concerns all."""

from collections.abc import Collection

from dashboards.kinds.kind import Json, Sent
from dashboards.server import GrafanaError, Server


class Folder:
    """A folder, of which driftline says the title only."""

    name = "folder"

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request."""
        return {uid: one for uid, one in server.folders().items() if uid in uids}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:  # noqa: ARG002
        """See `Kind`."""
        return {"title": live["title"]}

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:  # noqa: ARG002
        """See `Kind`."""
        return set()

    def send(self, server: Server, sent: Sent) -> None:
        """See `Kind`; the version guards against another's change."""
        title = sent.tree["title"]
        if sent.live is None:
            body = {"uid": sent.uid, "title": title}
            server.send("POST", "/folders", f"make the folder {title!r}", body)
            return
        now = server.get(f"/folders/{sent.uid}", f"read the folder {sent.uid!r}")
        body = {"title": title, "version": now["version"]}
        server.send("PUT", f"/folders/{sent.uid}", f"rename the folder {sent.uid!r}", body)

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:  # noqa: ARG002
        """See `Kind`; one that holds anything stays, since it is not driftline's."""
        counts = server.get(f"/folders/{uid}/counts", f"look into the folder {uid!r}")
        held = {what: number for what, number in counts.items() if number}
        if held:
            inside = ", ".join(f"{number} {what}" for what, number in held.items())
            return f"others have something in it ({inside})"
        server.send("DELETE", f"/folders/{uid}", f"delete the folder {uid!r}")
        return None
