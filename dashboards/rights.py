"""What the account of the token may do, for `driftline doctor`: tried without changing anything."""

from dataclasses import dataclass

from dashboards.server import GrafanaError, Server
from dashboards.wanted import OLDEST
from driftline.config import Config

# A call with a body that Grafana refuses: who lacks the right is refused before the body is read.
_EMPTY: dict[str, object] = {}


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
    reached = _tried(server, "reach the server", "GET", "/health")
    if not reached.ok:
        return [reached]
    major, minor = server.version
    known = Right("version", OLDEST <= (major, minor) < (13, 0), f"Grafana {major}.{minor}")
    token = _tried(server, "use the token", "GET", "/org")
    if not token.ok:
        return [reached, known, token]
    wanted = [
        ("read dashboards", "GET", "/search?limit=1"),
        ("write folders", "POST", "/folders"),
        ("write dashboards", "POST", "/dashboards/db"),
        ("read alert rules", "GET", "/v1/provisioning/alert-rules"),
        ("write alert rules", "POST", "/v1/provisioning/alert-rules"),
        ("write contact points", "POST", "/v1/provisioning/contact-points"),
        ("write mute timings", "POST", "/v1/provisioning/mute-timings"),
        ("silence alerts", "POST", "/alertmanager/grafana/api/v2/silences"),
    ]
    if config.grafana.data_source.manage:
        wanted.append(("write data sources", "POST", "/datasources"))
    if config.grafana.routing.mode == "policies":
        wanted.append(("write policies", "PUT", "/v1/provisioning/policies"))
    return [reached, known, token, *(_tried(server, *one) for one in wanted), _source(server)]


def _tried(server: Server, name: str, method: str, path: str) -> Right:
    try:
        if method == "GET":
            server.get(path, name)
        else:
            server.send(method, path, name, dict(_EMPTY))
    except GrafanaError as error:
        refused = error.status in (0, 401, 403)
        if method == "GET" or refused:
            return Right(name, False, _hint(name, error))
    return Right(name, True, "")


def _hint(name: str, error: GrafanaError) -> str:
    if error.status != 403:
        return str(error)
    if name == "write data sources":
        return (
            f"{error}; data sources need the role Admin: give it, or make the source by hand and "
            "set grafana.data_source.manage: false"
        )
    return f"{error}; the role Editor is enough for this"


def _source(server: Server) -> Right:
    """Whether Grafana itself reaches the database."""
    uid = server.settings.data_source.uid
    try:
        server.get(f"/datasources/uid/{uid}/health", "ask Grafana for the database")
    except GrafanaError as error:
        hint = "'driftline dashboards apply' makes it; check grafana.data_source"
        return Right("data source", False, f"{error}; {hint}")
    return Right("data source", True, "")
