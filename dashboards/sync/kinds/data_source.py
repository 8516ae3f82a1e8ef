"""The data source: Grafana's own, read-only way to the database."""

from collections.abc import Collection
from typing import Any

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Sent
from driftline.dashboards.sync.ui_defaults import NEW_TYPE, OLD_TYPE

_MEANT = ("name", "type", "access", "url", "user", "database", "jsonData")


class DataSource:
    """A PostgreSQL data source; settings that driftline does not name are left as they are."""

    name = "datasource"
    lockable = False

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request each."""
        found = {uid: _found(server, uid) for uid in uids}
        return {uid: one for uid, one in found.items() if one is not None}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`."""
        tree = {key: live[key] for key in _MEANT if key in live}
        if tree.get("type") == OLD_TYPE:
            tree["type"] = NEW_TYPE
        return tree

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:
        """See `Kind`."""
        return set(secrets) - set(live.get("secureJsonFields", {}))

    def send(self, server: Server, sent: Sent) -> None:
        """See `Kind`; a secret that is left out is kept."""
        secrets = {name: sent.secrets[name] for name in sent.changed & set(sent.secrets)}
        if sent.live is None:
            body = {"uid": sent.uid, **sent.tree, "secureJsonData": dict(sent.secrets)}
            server.call(
                f"make the data source {sent.uid!r}",
                lambda api: api.datasource.create_datasource(body),
            )
            return
        if sent.live.get("readOnly"):
            raise GrafanaError(
                f"data source {sent.uid!r} comes from a file of Grafana's: change it there, or "
                "set grafana.data_source.manage: false"
            )
        others = {k: v for k, v in sent.live.items() if k not in ("secureJsonFields", "version")}
        body = {**others, **sent.tree, **({"secureJsonData": secrets} if secrets else {})}
        server.call(
            f"change the data source {sent.uid!r}",
            lambda api: api.datasource.update_datasource_by_uid(sent.uid, body),
        )

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`."""
        if live.get("readOnly"):
            return "it comes from a file of Grafana's"
        server.call(
            f"delete the data source {uid!r}",
            lambda api: api.datasource.delete_datasource_by_uid(uid),
        )
        return None


def _found(server: Server, uid: str) -> Any:
    return server.find(
        f"read the data source {uid!r}", lambda api: api.datasource.get_datasource_by_uid(uid)
    )
