"""Permissions of the token's account, for `driftline doctor`: tested without any change."""

from dataclasses import dataclass

from driftline.config import Config
from driftline.dashboards.sync import extra_calls
from driftline.dashboards.sync.desired import NEWEST, OLDEST, supported
from driftline.dashboards.sync.grafana_client import Call, GrafanaError, Server
from driftline.dashboards.sync.kinds.policy import CONTINUES

_SOURCES = "write data sources"
_POLICIES = "write policies"
_DATABASE = "read the database through Grafana"
_READS: dict[str, Call] = {
    "read dashboards": lambda api: api.search.search_dashboards(limit=1),
    "read alert rules": lambda api: api.alertingprovisioning.get_alertrules_all(),
    "read contact points": lambda api: api.alertingprovisioning.get_contactpoints(),
}
# Each with a body that Grafana rejects: permissions are checked before the body is read.
_WRITES: dict[str, Call] = {
    "write folders": lambda api: api.folder.create_folder(""),
    "write dashboards": lambda api: api.dashboard.update_dashboard({}),
    "write alert rules": lambda api: api.alertingprovisioning.create_alertrule({}),
    "write contact points": lambda api: api.alertingprovisioning.create_contactpoint({}),
    "write mute timings": lambda api: api.alertingprovisioning.create_mute_timing({}),
    "silence alerts": lambda api: extra_calls.silence(api, {}),
    _SOURCES: lambda api: api.datasource.create_datasource({}),
    _POLICIES: lambda api: api.alertingprovisioning.set_notification_policy_tree({}),
}


@dataclass(frozen=True)
class Permission:
    """One action in Grafana that driftline needs.

    Attributes:
        name: the action.
        ok: whether the account may do it.
        detail: what is missing, and what to do.
    """

    name: str
    ok: bool
    detail: str


def check(config: Config) -> list[Permission]:
    """Check all permissions that `driftline dashboards apply` needs.

    Nothing is written: write permissions are tested with invalid requests.

    Raises:
        ConfigError: Grafana is not configured, or the token cannot be read.
    """
    server = Server(config.grafana)
    connection = _test(server, "reach the server", extra_calls.version)
    if not connection.ok:
        return [connection]
    major, minor = server.version
    version = Permission(
        f"work with Grafana {major}.{minor}",
        supported((major, minor)),
        f"use a supported version: {OLDEST[0]}.{OLDEST[1]} to {NEWEST}",
    )
    token = _test(server, "use the token", lambda api: api.organization.get_current_organization())
    if not token.ok:
        return [connection, version, token]
    return [
        connection,
        version,
        token,
        *(_test(server, name, call) for name, call in _READS.items()),
        *(_test(server, name, call) for name, call in _WRITES.items() if _needed(config, name)),
        *([_root(server)] if _needed(config, _POLICIES) else []),
        _source(server),
    ]


def _needed(config: Config, name: str) -> bool:
    if name == _SOURCES:
        return config.grafana.data_source.manage
    return name != _POLICIES or config.grafana.routing.mode == "policies"


def _test(server: Server, name: str, call: Call) -> Permission:
    try:
        server.call(name, call)
    except GrafanaError as error:
        if name not in _WRITES or error.status in (0, 401, 403):
            return Permission(name, False, _hint(name, error))
    return Permission(name, True, "")


def _hint(name: str, error: GrafanaError) -> str:
    if error.status == 403 and name == _SOURCES:
        return (
            f"{error}, or create the data source manually and set grafana.data_source.manage: false"
        )
    return str(error)


def _root(server: Server) -> Permission:
    """Whether the policy tree can be written back."""
    name = "read policies"
    try:
        tree = server.call(
            name, lambda api: api.alertingprovisioning.get_notification_policy_tree()
        )
    except GrafanaError as error:
        return Permission(name, False, _hint(name, error))
    return Permission(name, not tree.get("continue"), CONTINUES if tree.get("continue") else "")


def _source(server: Server) -> Permission:
    """Whether Grafana itself can connect to the database."""
    uid = server.settings.data_source.uid
    try:
        server.call("query the database through Grafana", lambda api: api.datasource.health(uid))
    except GrafanaError as error:
        hint = "run 'driftline dashboards apply', or check grafana.data_source"
        return Permission(_DATABASE, False, f"{error}; {hint}")
    return Permission(_DATABASE, True, "")
