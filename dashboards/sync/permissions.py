"""What the account of the token may do, for `driftline doctor`: tried without changing anything."""

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
# Each with a body that Grafana refuses: who lacks the right is refused before the body is read.
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
class Right:
    """One thing that driftline does in Grafana.

    Attributes:
        name: what it is.
        ok: whether the account may.
        detail: what is missing, and what to do.
    """

    name: str
    ok: bool
    detail: str


def check(config: Config) -> list[Right]:
    """Everything that `driftline dashboards apply` needs, one by one.

    Nothing is written: where a right to write is tried, the request is one that Grafana refuses.

    Raises:
        ConfigError: there is no Grafana in the config, or the token cannot be read.
    """
    server = Server(config.grafana)
    reached = _tried(server, "reach the server", extra_calls.version)
    if not reached.ok:
        return [reached]
    major, minor = server.version
    known = Right(
        f"work with Grafana {major}.{minor}",
        supported((major, minor)),
        f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST} are supported",
    )
    token = _tried(server, "use the token", lambda api: api.organization.get_current_organization())
    if not token.ok:
        return [reached, known, token]
    return [
        reached,
        known,
        token,
        *(_tried(server, name, call) for name, call in _READS.items()),
        *(_tried(server, name, call) for name, call in _WRITES.items() if _needed(config, name)),
        *([_root(server)] if _needed(config, _POLICIES) else []),
        _source(server),
    ]


def _needed(config: Config, name: str) -> bool:
    if name == _SOURCES:
        return config.grafana.data_source.manage
    return name != _POLICIES or config.grafana.routing.mode == "policies"


def _tried(server: Server, name: str, call: Call) -> Right:
    try:
        server.call(name, call)
    except GrafanaError as error:
        if name not in _WRITES or error.status in (0, 401, 403):
            return Right(name, False, _hint(name, error))
    return Right(name, True, "")


def _hint(name: str, error: GrafanaError) -> str:
    if error.status == 403 and name == _SOURCES:
        return f"{error}, or make the source by hand and set grafana.data_source.manage: false"
    return str(error)


def _root(server: Server) -> Right:
    """Whether the policies can be written back as they are read."""
    name = "read policies"
    try:
        tree = server.call(
            name, lambda api: api.alertingprovisioning.get_notification_policy_tree()
        )
    except GrafanaError as error:
        return Right(name, False, _hint(name, error))
    return Right(name, not tree.get("continue"), CONTINUES if tree.get("continue") else "")


def _source(server: Server) -> Right:
    """Whether Grafana itself reaches the database."""
    uid = server.settings.data_source.uid
    try:
        server.call("ask Grafana for the database", lambda api: api.datasource.health(uid))
    except GrafanaError as error:
        hint = "'driftline dashboards apply' makes it; check grafana.data_source"
        return Right(_DATABASE, False, f"{error}; {hint}")
    return Right(_DATABASE, True, "")
