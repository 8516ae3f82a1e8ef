"""Dashboards: panels merge by id, at any position; moving to another folder is an edit."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Kind, Payload
from driftline.dashboards.sync.tree import from_tree, to_tree

_OTHER_SCHEMA = 406


class Dashboard(Kind):
    """A dashboard and its folder."""

    name = "dashboard"
    lockable = False

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; load request each, several at a time."""

        def load(uid: str) -> Any:
            try:
                return server.find(
                    f"read the dashboard {uid!r}", lambda api: api.dashboard.get_dashboard(uid)
                )
            except GrafanaError as error:
                return error if error.status != _OTHER_SCHEMA else _other_schema(uid)

        with ThreadPoolExecutor(server.settings.concurrency) as pool:
            dashboards = zip(uids, pool.map(load, uids), strict=True)
        return {uid: _unless_provisioned(live) for uid, live in dashboards if live is not None}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`."""
        folder = live["folderUid"] if "folderUid" in live else live["meta"].get("folderUid", "")
        return {"folder": folder, **to_tree(live["dashboard"])}

    def send(self, server: Server, payload: Payload) -> None:
        """See `Kind`; Grafana rejects a version other than the one that was read."""
        folder = payload.tree["folder"]
        if payload.unmerged is not None:
            dashboard = dict(payload.unmerged["dashboard"])
        else:
            content = {key: value for key, value in payload.tree.items() if key != "folder"}
            live = payload.live or {"dashboard": {}}
            dashboard = from_tree(content, live["dashboard"].get("schemaVersion"))
        dashboard.pop("id", None)
        dashboard.pop("version", None)
        if payload.live is not None:
            dashboard["version"] = payload.live["dashboard"]["version"]
        body = {
            "dashboard": {**dashboard, "uid": payload.uid},
            "folderUid": folder,
            "overwrite": False,
            "message": "driftline",
        }
        response = server.call(
            f"save the dashboard {payload.uid!r}", lambda api: api.dashboard.update_dashboard(body)
        )
        if response.get("uid") != payload.uid:
            raise GrafanaError(
                f"Grafana saved the dashboard {payload.uid!r} as {response.get('uid')!r}: rename "
                "the dashboard with the same title in the folder and apply again"
            )

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`."""
        server.call(
            f"delete the dashboard {uid!r}", lambda api: api.dashboard.delete_dashboard(uid)
        )
        return None


def _other_schema(uid: str) -> GrafanaError:
    """The error for a dashboard that the classic schema cannot represent without loss."""
    return GrafanaError(
        f"dashboard {uid!r} was saved in Grafana's new schema (v2), which driftline can't merge, "
        "so it is unchanged: to restore driftline's dashboard, save this one as a copy, delete "
        "it and apply again",
        _OTHER_SCHEMA,
    )


def _unless_provisioned(live: Any) -> Json | GrafanaError:
    """Return an error for a provisioned dashboard, so that the plan shows that saving fails."""
    if isinstance(live, dict) and live.get("meta", {}).get("provisioned"):
        uid = live["dashboard"].get("uid")
        return GrafanaError(
            f"dashboard {uid!r} is provisioned from a file in Grafana: remove the file, or manage "
            "dashboards by files ('driftline dashboards export')"
        )
    return live  # type: ignore[no-any-return]
