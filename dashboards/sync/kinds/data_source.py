"""The data source: Grafana's read-only access to the database."""

from collections.abc import Collection
from typing import Any

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Kind, Payload
from driftline.dashboards.sync.ui_defaults import NEW_TYPE, OLD_TYPE

_MANAGED = ("name", "type", "access", "url", "user", "database", "jsonData")


class DataSource(Kind):
    """A PostgreSQL data source; settings that driftline does not manage are kept."""

    name = "datasource"
    lockable = False

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request each."""
        sources = {uid: _find(server, uid) for uid in uids}
        return {uid: source for uid, source in sources.items() if source is not None}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`."""
        tree = {key: live[key] for key in _MANAGED if key in live}
        if tree.get("type") == OLD_TYPE:
            tree["type"] = NEW_TYPE
        return tree

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:
        """See `Kind`."""
        return set(secrets) - set(live.get("secureJsonFields", {}))

    def send(self, server: Server, payload: Payload) -> None:
        """See `Kind`; Grafana keeps a secret that is left out."""
        secrets = {name: payload.secrets[name] for name in payload.changed & set(payload.secrets)}
        if payload.live is None:
            body = {"uid": payload.uid, **payload.tree, "secureJsonData": dict(payload.secrets)}
            server.call(
                f"create the data source {payload.uid!r}",
                lambda api: api.datasource.create_datasource(body),
            )
            return
        if payload.live.get("readOnly"):
            raise GrafanaError(
                f"data source {payload.uid!r} is provisioned from a file in Grafana: change it "
                "there, or set grafana.data_source.manage: false"
            )
        read_only = ("secureJsonFields", "version")
        current = {key: value for key, value in payload.live.items() if key not in read_only}
        body = {**current, **payload.tree, **({"secureJsonData": secrets} if secrets else {})}
        server.call(
            f"change the data source {payload.uid!r}",
            lambda api: api.datasource.update_datasource_by_uid(payload.uid, body),
        )

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`."""
        if live.get("readOnly"):
            return "it is provisioned from a file in Grafana"
        server.call(
            f"delete the data source {uid!r}",
            lambda api: api.datasource.delete_datasource_by_uid(uid),
        )
        return None


def _find(server: Server, uid: str) -> Any:
    return server.find(
        f"read the data source {uid!r}", lambda api: api.datasource.get_datasource_by_uid(uid)
    )
