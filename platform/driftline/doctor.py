"""`driftline doctor`: diagnoses an installation and suggests fixes.

Each check is a function that yields findings; to add one, write it and add it to `CHECKS`.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, get_args

from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.wording import counted

if TYPE_CHECKING:
    from driftline.config import Model
    from driftline.storage.connection import Connection

_MAX_UNATTAINABLE = 0.1  # share of tests whose level the reference may fail to support, unreported
_KAFKA_TIMEOUT = 10.0  # seconds

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One result of a check.

    Attributes:
        check: the check's name.
        level: `note` is worth knowing, `problem` keeps something from working.
        message: what the check found.
        fix: what to do; "" when nothing.
    """

    check: str
    level: Level
    message: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """The finding as `driftline doctor --json` prints it."""
        return {
            "check": self.check,
            "level": self.level,
            "message": self.message,
            "fix": self.fix,
        }


Check = Callable[[Config], Iterable[Finding]]


def run_checks(config: Config) -> list[Finding]:
    """Run all checks; a check that raises is reported as a problem, the others still run."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += check(config)
        except DriftlineError as error:
            message, _, fix = str(error).rpartition(": ")
            findings.append(Finding(name, "problem", message or str(error), fix if message else ""))
        except Exception as error:
            findings.append(Finding(name, "problem", f"{type(error).__name__}: {error}"))
    return findings


def check_config(config: Config) -> Iterable[Finding]:
    """Are there models, are their segments profiled, and can every secret be read?"""
    from driftline.config.types import Secret

    if not config.models:
        yield Finding("config", "note", "no models", "see docs/adding-a-model.md")
    for name, model in config.models.items():
        unknown = {s.partition("=")[0] for s in model.monitors.segments} - set(model.segments)
        for column in sorted(unknown):
            yield Finding(
                "config",
                "problem",
                f"models.{name}.monitors.segments names {column!r}, which is not profiled",
                f"add {column!r} to models.{name}.segments",
            )
    for secret in (*config.notify.urls, config.runner.heartbeat_url, config.grafana.token):
        if isinstance(secret, Secret):
            secret.read()
    yield Finding("config", "ok", counted(len(config.models), "model"))


def check_notifications(config: Config) -> Iterable[Finding]:
    """Is somebody notified of every incident?"""
    if config.notify.urls:
        text = counted(len(config.notify.urls), "notification URL")
        yield Finding("notify", "ok", text)
    elif config.grafana.url is None:
        yield Finding(
            "notify", "note", "nobody is notified of incidents", "set notify.urls or grafana.url"
        )
    elif unrouted := _unrouted(config):
        yield Finding(
            "notify",
            "note",
            f"no route matches {len(unrouted)} kinds of alerts, such as {unrouted[0]}: they go to "
            "Grafana's default contact point, which is a placeholder on a new server",
            "end grafana.routing.routes with a route that matches all, or set notify.urls",
        )
    else:
        yield Finding("notify", "ok", "Grafana has a route for every alert")


def check_transport(config: Config) -> Iterable[Finding]:
    """Is every connection over a network encrypted, and every server authenticated?"""
    from driftline.config.transport import exposed

    exposures = exposed(config)
    for exposure in exposures:
        yield Finding("transport", "note", exposure.problem, exposure.fix)
    if not exposures:
        yield Finding("transport", "ok", "no credentials leave this machine in plain text")


def _unrouted(config: Config) -> list[str]:
    """The alerts, by team, family and severity, that no route of the config matches."""
    from driftline.config.monitors import Family, Severity

    return [
        f"{family} ({severity}) of team {team!r}"
        for team in sorted({model.team for model in config.models.values()})
        for family in get_args(Family)
        for severity in get_args(Severity)
        if not any(route.matches(team, family, severity) for route in config.grafana.routing.routes)
    ]


def check_database(config: Config) -> Iterable[Finding]:
    """Can each role connect, and is the schema at the revision that this version needs?"""
    from driftline.storage.connection import connect
    from driftline.storage.tables import schema

    postgres = config.local_postgres()
    with connect(postgres, "write") as connection:
        current, required = schema.revisions(connection)
    with connect(postgres, "read"):
        pass
    if current != required:
        yield Finding(
            "database",
            "problem",
            f"the schema is at revision {current!r}, this version needs {required!r}",
            "driftline migrate",
        )
    else:
        yield Finding("database", "ok", f"roles write and read can connect, revision {current}")


def check_privileges(config: Config) -> Iterable[Finding]:
    """Can the role read, which Grafana uses, do more than read?"""
    from driftline.storage.connection import connect
    from driftline.storage.tables import schema
    from driftline.storage.tables.read_rights import excess_rights

    with connect(config.local_postgres(), "read") as connection:
        current, required = schema.revisions(connection)
        if current != required:  # check_database reports it
            return
        privileges = excess_rights(connection)
    for privilege in privileges:
        yield Finding(
            "rights",
            "note",
            f"role read can {privilege}",
            "revoke it as a superuser, see docs/operations.md#roles; on a managed server without "
            "one, give this account only to people you trust",
        )
    if not privileges:
        yield Finding("rights", "ok", "role read can only read")


def check_kafka(config: Config) -> Iterable[Finding]:
    """Is Kafka reachable, and do the models' topics exist?"""
    from driftline.kafka.client_settings import topics

    existing = topics(config.local_kafka(), _KAFKA_TIMEOUT)
    for name, model in config.models.items():
        if (topic := model.input.topic) not in existing:
            message = f"topic {topic!r} of model {name!r} does not exist"
            yield Finding("kafka", "problem", message, "create it")
    yield Finding("kafka", "ok", f"reachable; {counted(len(existing), 'topic')}")


def check_registry(config: Config) -> Iterable[Finding]:
    """Is MLflow reachable, and does each model have a champion?"""
    from driftline.registry.client import connect
    from driftline.registry.files.cache import resolve

    client = connect(config.local_mlflow())
    for name, model in config.models.items():
        try:
            version = resolve(client, model.registry.name, model.registry.alias)
            yield Finding("registry", "ok", f"{name}: version {version} is {model.registry.alias}")
        except DriftlineError as error:
            yield Finding(
                "registry",
                "problem",
                str(error),
                f"driftline models register ... --name {model.registry.name} "
                f"--alias {model.registry.alias}",
            )


def check_references(config: Config) -> Iterable[Finding]:
    """Does each champion have a reference with blocks of time that fit its windows?"""
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.references import lengths, read
    from driftline.storage.versions import promotions

    with connect(config.local_postgres(), "read") as connection:
        for name, model in config.models.items():
            version = promotions.champion(connection, name)
            if version is None:
                yield Finding("references", "note", f"{name}: no version has been loaded yet")
                continue
            command = f"driftline reference set {name} --since ... --until ..."
            stored = read(connection, name, version)
            blocks = {n for segment, n, _ in lengths(connection, name, version) if not segment}
            if stored is None:
                message = f"{name}: version {version} has no reference"
                yield Finding("references", "problem", message, command)
                continue
            short = [
                window.seconds
                for window in model.monitors.windows
                if not any(window.seconds % seconds == 0 for seconds in blocks)
            ]
            if not blocks:
                message = f"{name}: provisional, its reference has no event times"
                yield Finding("references", "note", message, command)
            elif short:
                message = f"{name}: no blocks for windows of {', '.join(map(str, short))} s"
                length = math.gcd(86_400, *short) // 60
                yield Finding("references", "note", message, f"{command} --block '{length} min'")
            else:
                yield _attainability(connection, name, model, version)


def _attainability(connection: "Connection", name: str, model: "Model", version: int) -> Finding:
    """Whether the reference is long enough for the significance levels of the budget."""
    from driftline.monitors.calibration.judges import Judges
    from driftline.monitors.calibration.sensitivity import sensitivities, typical_rows

    judges = Judges(name, model)
    judges.refresh(connection)
    judge = judges.get(connection, version, "")
    looks = sensitivities(judge, typical_rows(judge)[-1:])
    missed = [one for one in looks if not one.calibrated]
    if len(missed) > _MAX_UNATTAINABLE * len(looks):
        return Finding(
            "references",
            "note",
            f"{name}: {len(missed)} of {len(looks)} tests are not calibrated, the reference is "
            "too short for the significance levels that the false-alarm budget requires",
            f"driftline calibrate {name} shows which; use longer windows, fewer columns or a "
            "longer reference",
        )
    return Finding("references", "ok", f"{name}: version {version} supports its budget")


def check_runners(config: Config) -> Iterable[Finding]:
    """Is a runner alive, and does it keep up?"""
    from driftline.storage.connection import connect
    from driftline.storage.monitoring import coverage, runners

    with connect(config.local_postgres(), "read") as connection:
        alive = runners.alive(connection)
        unwatched = coverage.unwatched(connection, config.models)
    for runner in alive:
        age = (datetime.now(UTC) - runner.heartbeat_at).total_seconds()
        models = counted(runner.models, "model")
        yield Finding("runner", "ok", f"{runner.id}: {models}, last heartbeat {age:.0f} s ago")
    for model in unwatched:
        since = "" if model.since is None else f" since {model.since:%Y-%m-%d %H:%M}"
        text = f"{model.model} is not watched{since}: {model.reason}"
        yield Finding("runner", "problem", text, model.fix)


def check_grafana(config: Config) -> Iterable[Finding]:
    """Does the token have the permissions that `driftline dashboards apply` needs?"""
    if config.grafana.url is None:
        return
    from driftline.dashboards.sync.permissions import check

    for permission in check(config):
        level: Level = "ok" if permission.ok else "problem"
        message = permission.name if permission.ok else f"can't {permission.name}"
        yield Finding("grafana", level, message, "" if permission.ok else permission.detail)


CHECKS: dict[str, Check] = {
    "config": check_config,
    "notify": check_notifications,
    "transport": check_transport,
    "database": check_database,
    "rights": check_privileges,
    "kafka": check_kafka,
    "registry": check_registry,
    "references": check_references,
    "runner": check_runners,
    "grafana": check_grafana,
}
