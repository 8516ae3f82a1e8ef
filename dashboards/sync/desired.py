"""Everything that Grafana should hold, as a pure function of the config and the dashboards."""

import re
from collections.abc import Iterable

from driftline.config import Config
from driftline.config.grafana import ContactPoint, Grafana, MuteInterval, Route
from driftline.config.types import Secret
from driftline.dashboards.definitions.generate import PageError
from driftline.dashboards.panels.uids import FLEET_FOLDER, RULE_GROUP, folder_uid, team_tag, written
from driftline.dashboards.sync.alert_rules import HEARTBEAT_TITLE, POSTGRES, rules, teams
from driftline.dashboards.sync.kinds.kind import Json, Wanted
from driftline.dashboards.sync.kinds.policy import PREFIX
from driftline.dashboards.sync.kinds.policy import UID as POLICIES
from driftline.errors import ConfigError

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
OLDEST = (10, 3)  # before 10.2.3 the data source's plugin has another name
NEWEST = 12
_ROUTES_IN_RULES_SINCE = (11, 0)  # before, a rule's own receiver is stored and not used
_GRAFANAS_SSLMODES = ("disable", "require", "verify-ca", "verify-full")


def supported(version: tuple[int, int]) -> bool:
    """Whether driftline is written for it."""
    return OLDEST <= version < (NEWEST + 1, 0)


def version_of(text: str) -> tuple[int, int]:
    """A version as people type it.

    Raises:
        ConfigError: it is none, or none that driftline is written for.

    >>> version_of("10.4.1"), version_of("12")
    ((10, 4), (12, 0))
    """
    found = re.fullmatch(r"(\d+)(?:\.(\d+)(?:\.\S+)?)?", text)
    version = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    if not supported(version):
        oldest = f"{OLDEST[0]}.{OLDEST[1]}"
        raise ConfigError(f"no supported version of Grafana {text!r}: {oldest} to {NEWEST}")
    return version


def wanted(
    config: Config,
    dashboards: Iterable[Json | PageError],
    version: tuple[int, int],
    *,
    secrets: bool = True,
) -> list[Wanted]:
    """All objects, in no particular order.

    Parameters:
        config: of all models.
        dashboards: as generated; one with the tag of a team goes into the team's folder. An
            error in the place of one leaves it as it is.
        version: of the server.
        secrets: read them; without, their names stand in their place.

    Raises:
        ConfigError: a secret cannot be read, or the server cannot route as the config says.
    """
    settings = config.grafana
    _check_routing(settings, version)
    made = [*_folders(config), *_mute_timings(settings), *_contact_points(settings, secrets)]
    if settings.data_source.manage:
        made.append(_data_source(config, secrets))
    made += [_dashboard(config, one) for one in dashboards]
    made += [Wanted("rule", one["uid"], one["title"], one) for one in rules(config, version)]
    made += _rule_groups(config)
    if settings.routing.mode == "policies":
        made.append(_policies(settings))
    return made


def _check_routing(settings: Grafana, version: tuple[int, int]) -> None:
    in_rules = settings.routing.mode != "policies" and settings.routing.routes
    if in_rules and version < _ROUTES_IN_RULES_SINCE:
        raise ConfigError(
            f"Grafana {version[0]}.{version[1]} does not use the contact points of rules: "
            "set grafana.routing.mode: policies"
        )


def _folders(config: Config) -> list[Wanted]:
    title = config.grafana.folder
    folders = {FLEET_FOLDER: title}
    for team in teams(config):  # the default team is called as the default folder
        folders[folder_uid(team)] = f"{title} {'models' if team == title else team}"
    return [Wanted("folder", uid, title, {"title": title}) for uid, title in folders.items()]


def _rule_groups(config: Config) -> list[Wanted]:
    interval = int(config.grafana.interval.total_seconds())
    uids = [f"{folder_uid(team)}/{RULE_GROUP}" for team in (None, *teams(config))]
    return [Wanted("rule_group", uid, uid, {"interval": interval}) for uid in uids]


def _dashboard(config: Config, dashboard: Json | PageError) -> Wanted:
    if isinstance(dashboard, PageError):
        return Wanted("dashboard", dashboard.uid, dashboard.uid, {}, failed=dashboard)
    tags = dashboard.get("tags", [])
    found = [folder_uid(team) for team in teams(config) if team_tag(team) in tags]
    folder = found[0] if len(found) == 1 else FLEET_FOLDER
    content = {"dashboard": dashboard, "folderUid": folder}
    return Wanted("dashboard", dashboard["uid"], dashboard["title"], content)


def _data_source(config: Config, secrets: bool) -> Wanted:
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
        hidden["password"] = _shown(password, secrets)
    if settings.ca_file is not None:
        json_data["tlsConfigurationMethod"] = "file-content"
        hidden["tlsCACert"] = _shown(Secret(file=settings.ca_file), secrets)
    content = {
        "name": settings.name,
        "type": POSTGRES,
        "access": "proxy",
        "url": f"{settings.host or postgres.host}:{settings.port or postgres.port}",
        "user": settings.user or login.user,
        "database": settings.database or postgres.database,
        "jsonData": json_data,
    }
    return Wanted("datasource", settings.uid, settings.name, content, hidden)


def _contact_points(settings: Grafana, secrets: bool) -> list[Wanted]:
    return [_contact_point(name, one, secrets) for name, one in settings.contact_points.items()]


def _contact_point(name: str, point: ContactPoint, secrets: bool) -> Wanted:
    plain = {key: one for key, one in point.settings.items() if not isinstance(one, Secret)}
    hidden = {
        key: _shown(one, secrets) for key, one in point.settings.items() if isinstance(one, Secret)
    }
    content = {
        "name": f"driftline-{name}",
        "type": point.type,
        "settings": plain,
        "disableResolveMessage": not point.resolved,
    }
    return Wanted("contact_point", f"driftline-{name}", f"driftline-{name}", content, hidden)


def _shown(secret: Secret, read: bool) -> str:
    """The secret, or for provisioning files the variable that Grafana takes it from."""
    if read:
        return secret.read(lines=True)  # inside JSON
    return f"${secret.env}" if secret.env else f"$__file{{{secret.file}}}"


def _mute_timings(settings: Grafana) -> list[Wanted]:
    return [
        Wanted(
            "mute_timing",
            f"driftline-{name}",
            f"driftline-{name}",
            {"time_intervals": [_interval(one) for one in intervals]},
        )
        for name, intervals in settings.mute_timings.items()
    ]


def _interval(interval: MuteInterval) -> Json:
    """As Grafana writes it back: months by number."""
    made: Json = {
        "times": [{"start_time": one.start, "end_time": one.end} for one in interval.times],
        "weekdays": list(interval.weekdays),
        "days_of_month": list(interval.days_of_month),
        "months": [":".join(map(_month, value.split(":"))) for value in interval.months],
    }
    if interval.location is not None:
        made["location"] = interval.location
    return {key: value for key, value in made.items() if value}


def _month(name: str) -> str:
    return str(_MONTHS.index(name.lower()) + 1) if name.lower() in _MONTHS else name


def _policies(settings: Grafana) -> Wanted:
    routes = [_route(route) for route in settings.routing.routes]
    content = {"receiver": "", "routes": routes}
    return Wanted("policy", POLICIES, "notification policies", content)


def _route(route: Route) -> Json:
    families = route.families or ("[a-z]+",)
    severities = route.severities or ("[a-z]+",)
    titles = [f"{PREFIX}({'|'.join(families)}) \\(({'|'.join(severities)})\\)"]
    if route.matches(None, "pipeline", "page"):
        titles.append(HEARTBEAT_TITLE)
    matchers = [["alertname", "=~", "|".join(titles)]]
    if route.teams:
        matchers.append(["team", "=~", "|".join(route.teams)])
    made: Json = {
        "receiver": f"driftline-{route.contact_point}",
        "object_matchers": matchers,
        "group_by": ["grafana_folder", "alertname"],
        "group_wait": written(route.group_wait),
        "group_interval": written(route.group_interval),
        "repeat_interval": written(route.repeat_interval),
    }
    if route.mute_timings:
        made["mute_time_intervals"] = [f"driftline-{name}" for name in route.mute_timings]
    return made
