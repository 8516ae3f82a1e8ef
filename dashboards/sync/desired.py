"""The desired state of Grafana, as a pure function of the config and the dashboards."""

import re
from collections.abc import Iterable

from driftline.config import Config
from driftline.config.grafana import ContactPoint, Grafana, MuteInterval, Route
from driftline.config.types import Secret
from driftline.dashboards.definitions.generate import DashboardError
from driftline.dashboards.panels.uids import (
    FLEET_FOLDER,
    RULE_GROUP,
    folder_uid,
    grafana_duration,
    team_tag,
)
from driftline.dashboards.sync.alert_rules import HEARTBEAT_TITLE, POSTGRES, rules, teams
from driftline.dashboards.sync.kinds.kind import DesiredObject, Json
from driftline.dashboards.sync.kinds.policy import PREFIX
from driftline.dashboards.sync.kinds.policy import UID as POLICIES
from driftline.errors import ConfigError

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
OLDEST = (10, 3)  # before 10.2.3 the plugin of the data source has another name
NEWEST = 12
_ROUTES_IN_RULES_SINCE = (11, 0)  # earlier versions store a rule's own receiver but ignore it
_GRAFANAS_SSLMODES = ("disable", "require", "verify-ca", "verify-full")


def supported(version: tuple[int, int]) -> bool:
    """Whether driftline supports this version of Grafana."""
    return OLDEST <= version < (NEWEST + 1, 0)


def version_of(text: str) -> tuple[int, int]:
    """Parse a version as people type it.

    Raises:
        ConfigError: it is not a version, or not a supported one.

    >>> version_of("10.4.1"), version_of("12")
    ((10, 4), (12, 0))
    """
    match = re.fullmatch(r"(\d+)(?:\.(\d+)(?:\.\S+)?)?", text)
    version = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
    if not supported(version):
        oldest = f"{OLDEST[0]}.{OLDEST[1]}"
        raise ConfigError(f"unsupported version of Grafana {text!r}: use {oldest} to {NEWEST}")
    return version


def desired_objects(
    config: Config,
    dashboards: Iterable[Json | DashboardError],
    version: tuple[int, int],
    *,
    secrets: bool = True,
) -> list[DesiredObject]:
    """All desired objects, in no particular order.

    Parameters:
        config: the whole config.
        dashboards: generated dashboards; one with a team's tag goes into the team's folder. For an
            error, the existing dashboard is kept.
        version: Grafana version.
        secrets: whether to read secrets; otherwise references to them take their place.

    Raises:
        ConfigError: a secret cannot be read, or the server does not support the routing mode.
    """
    settings = config.grafana
    _check_routing(settings, version)
    objects = [*_folders(config), *_mute_timings(settings), *_contact_points(settings, secrets)]
    if settings.data_source.manage:
        objects.append(_data_source(config, secrets))
    objects += [_dashboard(config, dashboard) for dashboard in dashboards]
    for rule in rules(config, version):
        objects.append(DesiredObject("rule", rule["uid"], rule["title"], rule))
    objects += _rule_groups(config)
    if settings.routing.mode == "policies":
        objects.append(_policies(settings))
    return objects


def _check_routing(settings: Grafana, version: tuple[int, int]) -> None:
    in_rules = settings.routing.mode != "policies" and settings.routing.routes
    if in_rules and version < _ROUTES_IN_RULES_SINCE:
        raise ConfigError(
            f"Grafana {version[0]}.{version[1]} ignores the contact points of rules: "
            "set grafana.routing.mode: policies"
        )


def _folders(config: Config) -> list[DesiredObject]:
    title = config.grafana.folder
    folders = {FLEET_FOLDER: title}
    for team in teams(config):  # the default team has the name of the default folder
        folders[folder_uid(team)] = f"{title} {'models' if team == title else team}"
    return [DesiredObject("folder", uid, title, {"title": title}) for uid, title in folders.items()]


def _rule_groups(config: Config) -> list[DesiredObject]:
    interval = int(config.grafana.interval.total_seconds())
    uids = [f"{folder_uid(team)}/{RULE_GROUP}" for team in (None, *teams(config))]
    return [DesiredObject("rule_group", uid, uid, {"interval": interval}) for uid in uids]


def _dashboard(config: Config, dashboard: Json | DashboardError) -> DesiredObject:
    if isinstance(dashboard, DashboardError):
        return DesiredObject("dashboard", dashboard.uid, dashboard.uid, {}, failed=dashboard)
    tags = dashboard.get("tags", [])
    folders = [folder_uid(team) for team in teams(config) if team_tag(team) in tags]
    folder = folders[0] if len(folders) == 1 else FLEET_FOLDER
    content = {"dashboard": dashboard, "folderUid": folder}
    return DesiredObject("dashboard", dashboard["uid"], dashboard["title"], content)


def _data_source(config: Config, secrets: bool) -> DesiredObject:
    settings, postgres = config.grafana.data_source, config.local_postgres()
    login = postgres.roles.read
    mode = settings.sslmode or postgres.sslmode
    json_data = {
        "database": settings.database or postgres.database,
        "sslmode": mode if mode in _GRAFANAS_SSLMODES else "require",
        "postgresVersion": 1500,
        "timescaledb": True,
        "maxOpenConns": settings.connections,
        "maxIdleConns": settings.connections,
        "connMaxLifetime": 14_400,
    }
    hidden = {}
    if password := settings.password or login.password:
        hidden["password"] = _secret_or_reference(password, secrets)
    if settings.ca_file is not None:
        json_data["tlsConfigurationMethod"] = "file-content"
        hidden["tlsCACert"] = _secret_or_reference(Secret(file=settings.ca_file), secrets)
    content = {
        "name": settings.name,
        "type": POSTGRES,
        "access": "proxy",
        "url": f"{settings.host or postgres.host}:{settings.port or postgres.port}",
        "user": settings.user or login.user,
        "database": settings.database or postgres.database,
        "jsonData": json_data,
    }
    return DesiredObject("datasource", settings.uid, settings.name, content, hidden)


def _contact_points(settings: Grafana, secrets: bool) -> list[DesiredObject]:
    return [_contact_point(name, point, secrets) for name, point in settings.contact_points.items()]


def _contact_point(name: str, point: ContactPoint, secrets: bool) -> DesiredObject:
    plain = {key: value for key, value in point.settings.items() if not isinstance(value, Secret)}
    hidden = {
        key: _secret_or_reference(value, secrets)
        for key, value in point.settings.items()
        if isinstance(value, Secret)
    }
    content = {
        "name": f"driftline-{name}",
        "type": point.type,
        "settings": plain,
        "disableResolveMessage": not point.send_resolved,
    }
    return DesiredObject("contact_point", f"driftline-{name}", f"driftline-{name}", content, hidden)


def _secret_or_reference(secret: Secret, read: bool) -> str:
    """The secret, or for provisioning files the reference that Grafana resolves."""
    if read:
        return secret.read(lines=True)  # inside JSON
    return f"${secret.env}" if secret.env else f"$__file{{{secret.file}}}"


def _mute_timings(settings: Grafana) -> list[DesiredObject]:
    return [
        DesiredObject(
            "mute_timing",
            f"driftline-{name}",
            f"driftline-{name}",
            {"time_intervals": [_interval(interval) for interval in intervals]},
        )
        for name, intervals in settings.mute_timings.items()
    ]


def _interval(interval: MuteInterval) -> Json:
    """As Grafana returns it: months by number."""
    content: Json = {
        "times": [{"start_time": time.start, "end_time": time.end} for time in interval.times],
        "weekdays": list(interval.weekdays),
        "days_of_month": list(interval.days_of_month),
        "months": [":".join(map(_month, value.split(":"))) for value in interval.months],
    }
    if interval.location is not None:
        content["location"] = interval.location
    return {key: value for key, value in content.items() if value}


def _month(name: str) -> str:
    return str(_MONTHS.index(name.lower()) + 1) if name.lower() in _MONTHS else name


def _policies(settings: Grafana) -> DesiredObject:
    routes = [_route(route) for route in settings.routing.routes]
    content = {"receiver": "", "routes": routes}
    return DesiredObject("policy", POLICIES, "notification policies", content)


def _route(route: Route) -> Json:
    families = route.families or ("[a-z]+",)
    severities = route.severities or ("[a-z]+",)
    titles = [f"{PREFIX}({'|'.join(families)}) \\(({'|'.join(severities)})\\)"]
    if route.matches(None, "pipeline", "page"):
        titles.append(HEARTBEAT_TITLE)
    matchers = [["alertname", "=~", "|".join(titles)]]
    if route.teams:
        matchers.append(["team", "=~", "|".join(route.teams)])
    content: Json = {
        "receiver": f"driftline-{route.contact_point}",
        "object_matchers": matchers,
        "group_by": ["grafana_folder", "alertname"],
        "group_wait": grafana_duration(route.group_wait),
        "group_interval": grafana_duration(route.group_interval),
        "repeat_interval": grafana_duration(route.repeat_interval),
    }
    if route.mute_timings:
        content["mute_time_intervals"] = [f"driftline-{name}" for name in route.mute_timings]
    return content
