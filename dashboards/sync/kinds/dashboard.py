"""Dashboards: panels merge by id, wherever they stand; a move to another folder is an edit."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Sent
from driftline.dashboards.sync.tree import from_tree, to_tree

_OTHER_SCHEMA = 406


class Dashboard:
    """A dashboard and the folder that it is in."""

    name = "dashboard"
    lockable = False

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request each, some at a time."""

        def one(uid: str) -> Any:
            try:
                return server.find(
                    f"read the dashboard {uid!r}", lambda api: api.dashboard.get_dashboard(uid)
                )
            except GrafanaError as error:
                return error if error.status != _OTHER_SCHEMA else _of_other_schema(uid)

        with ThreadPoolExecutor(server.settings.concurrency) as pool:
            found = zip(uids, pool.map(one, uids), strict=True)
        return {uid: _checked(live) for uid, live in found if live is not None}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`."""
        folder = live["folderUid"] if "folderUid" in live else live["meta"].get("folderUid", "")
        return {"folder": folder, **to_tree(live["dashboard"])}

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:
        """See `Kind`."""
        return set()

    def send(self, server: Server, sent: Sent) -> None:
        """See `Kind`; Grafana refuses a version that is not the one that was read."""
        folder = sent.tree["folder"]
        if sent.plain is not None:
            dashboard = dict(sent.plain["dashboard"])
        else:
            content = {key: value for key, value in sent.tree.items() if key != "folder"}
            live = sent.live or {"dashboard": {}}
            dashboard = from_tree(content, live["dashboard"].get("schemaVersion"))
        dashboard.pop("id", None)
        dashboard.pop("version", None)
        if sent.live is not None:
            dashboard["version"] = sent.live["dashboard"]["version"]
        body = {
            "dashboard": {**dashboard, "uid": sent.uid},
            "folderUid": folder,
            "overwrite": False,
            "message": "driftline",
        }
        answer = server.call(
            f"save the dashboard {sent.uid!r}", lambda api: api.dashboard.update_dashboard(body)
        )
        if answer.get("uid") != sent.uid:
            raise GrafanaError(
                f"Grafana saved the dashboard {sent.uid!r} as {answer.get('uid')!r}: rename the "
                "dashboard of that title in the folder, and run it again"
            )

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`."""
        server.call(
            f"delete the dashboard {uid!r}", lambda api: api.dashboard.delete_dashboard(uid)
        )
        return None


def _of_other_schema(uid: str) -> GrafanaError:
    """To write it in the classic schema would throw away what the person made of it."""
    return GrafanaError(
        f"dashboard {uid!r} was saved in Grafana's new schema (v2), which driftline can't merge "
        "with: it stays as it is. To have driftline's page again, save this one as a copy, delete "
        "it, and run it again",
        _OTHER_SCHEMA,
    )


def _checked(live: Any) -> Json | GrafanaError:
    """A provisioned dashboard can't be saved: better known before the plan is carried out."""
    if isinstance(live, dict) and live.get("meta", {}).get("provisioned"):
        uid = live["dashboard"].get("uid")
        return GrafanaError(
            f"dashboard {uid!r} comes from a file of Grafana's: remove the file, or leave "
            "dashboards to it ('driftline dashboards export')"
        )
    return live  # type: ignore[no-any-return]
