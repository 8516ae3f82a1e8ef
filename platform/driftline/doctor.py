"""`driftline doctor`: what is wrong with this installation, and how to mend it.

Each check is a function that gives findings; to add one, write it and name it in `CHECKS`.
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

_MISSED = 0.1  # share of looks that may be beyond the reference before it is said
_PATIENCE = 10.0  # seconds for the broker's answer

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """What one check says.

    Attributes:
        check: its name.
        level: `note` is worth knowing, `problem` keeps something from working.
        what: what was found.
        mend: what to do; "" when nothing.
    """

    check: str
    level: Level
    what: str
    mend: str = ""


Check = Callable[[Config], Iterable[Finding]]


def examine(config: Config) -> list[Finding]:
    """Run all checks; one that fails is a problem and stops no other."""
    found: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            found += check(config)
        except DriftlineError as error:
            what, _, mend = str(error).rpartition(": ")
            found.append(Finding(name, "problem", what or str(error), mend if what else ""))
        except Exception as error:
            found.append(Finding(name, "problem", f"{type(error).__name__}: {error}"))
    return found


def settings(config: Config) -> Iterable[Finding]:
    """Are there models, and can every secret be read?"""
    from driftline.config.types import Secret

    if not config.models:
        yield Finding("config", "note", "no models", "see docs/adding-a-model.md")
    for name, model in config.models.items():
        unknown = {s.partition("=")[0] for s in model.monitors.segments} - set(model.segments)
        for column in sorted(unknown):
            yield Finding(
                "config",
                "problem",
                f"monitors.segments of {name!r} names {column!r}, which profiles are not split by",
                f"add {column!r} to models.{name}.segments",
            )
    for secret in (*config.notify.urls, config.runner.heartbeat, config.grafana.token):
        if isinstance(secret, Secret):
            secret.read()
    yield Finding("config", "ok", counted(len(config.models), "model"))


def notified(config: Config) -> Iterable[Finding]:
    """Is somebody told of every incident?"""
    if config.notify.urls:
        yield Finding("notify", "ok", f"{len(config.notify.urls)} addresses")
    elif config.grafana.url is None:
        yield Finding(
            "notify", "note", "nobody is told of incidents", "set notify.urls, or grafana.url"
        )
    elif unrouted := _unrouted(config):
        yield Finding(
            "notify",
            "note",
            f"no route takes {len(unrouted)} kinds of alerts, such as {unrouted[0]}: they go to "
            "Grafana's own default contact point, on a fresh server a placeholder",
            "end grafana.routing.routes with a route that takes all, or set notify.urls",
        )
    else:
        yield Finding("notify", "ok", "Grafana has a route for every alert")


def transport(config: Config) -> Iterable[Finding]:
    """Does anything cross a network in plain text, or go to a server that proves nothing?"""
    from driftline.config.transport import exposed

    found = exposed(config)
    for one in found:
        yield Finding("transport", "note", one.what, one.fix)
    if not found:
        yield Finding("transport", "ok", "no login leaves this machine in plain text")


def _unrouted(config: Config) -> list[str]:
    """The alerts, by team, family and severity, that no route of the config takes."""
    from driftline.config.monitors import Family, Severity

    return [
        f"{family} ({severity}) of team {team!r}"
        for team in sorted({model.team for model in config.models.values()})
        for family in get_args(Family)
        for severity in get_args(Severity)
        if not any(one.matches(team, family, severity) for one in config.grafana.routing.routes)
    ]


def database(config: Config) -> Iterable[Finding]:
    """Can each role connect, and is the schema the one that this version needs?"""
    from driftline.storage.connection import connect
    from driftline.storage.tables import schema

    postgres = config.local_postgres()
    with connect(postgres, "write") as connection:
        found, wanted = schema.revisions(connection)
    with connect(postgres, "read"):
        pass
    if found != wanted:
        yield Finding(
            "database",
            "problem",
            f"the schema is at revision {found!r}, this version needs {wanted!r}",
            "driftline migrate",
        )
    else:
        yield Finding("database", "ok", f"reachable by roles write and read, revision {found}")


def rights(config: Config) -> Iterable[Finding]:
    """May the role that Grafana has do more than read?"""
    from driftline.storage.connection import connect
    from driftline.storage.tables import schema
    from driftline.storage.tables.read_rights import excess

    with connect(config.local_postgres(), "read") as connection:
        found, wanted = schema.revisions(connection)
        if found != wanted:  # the check of the database reports it
            return
        more = excess(connection)
    for right in more:
        yield Finding(
            "rights",
            "note",
            f"role read may {right}",
            "revoke it as a superuser, see docs/operations.md#roles; where a managed server has "
            "none, give this account to nobody whom you do not trust",
        )
    if not more:
        yield Finding("rights", "ok", "role read can only read")


def broker(config: Config) -> Iterable[Finding]:
    """Does Kafka answer, and has it the topics?"""
    from driftline.kafka.client_settings import topics

    there = topics(config.local_kafka(), _PATIENCE)
    wanted = {name: model.input.topic for name, model in config.models.items()}
    for name, topic in wanted.items():
        if topic not in there:
            yield Finding("kafka", "problem", f"no topic {topic!r} of model {name!r}", "create it")
    yield Finding("kafka", "ok", f"answers; {counted(len(there), 'topic')}")


def registry(config: Config) -> Iterable[Finding]:
    """Does MLflow answer, and has each model a champion?"""
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


def references(config: Config) -> Iterable[Finding]:
    """Has the champion of each model a reference, and does it know its variation?"""
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.references import lengths, read
    from driftline.storage.versions import promotions

    with connect(config.local_postgres(), "read") as connection:
        for name, model in config.models.items():
            version = promotions.champion(connection, name)
            if version is None:
                yield Finding("references", "note", f"{name}: no version was loaded yet")
                continue
            again = f"driftline reference set {name} --since ... --until ..."
            stored = read(connection, name, version)
            blocks = {n for segment, n, _ in lengths(connection, name, version) if not segment}
            if stored is None:
                what = f"{name}: version {version} has no reference"
                yield Finding("references", "problem", what, again)
                continue
            short = [
                window.seconds
                for window in model.monitors.windows
                if not any(window.seconds % seconds == 0 for seconds in blocks)
            ]
            if not blocks:
                what = f"{name}: provisional, the times of its reference are not known"
                yield Finding("references", "note", what, again)
            elif short:
                what = f"{name}: no blocks for windows of {', '.join(map(str, short))} s"
                length = math.gcd(86_400, *short) // 60
                yield Finding("references", "note", what, f"{again} --block '{length} min'")
            else:
                yield _supported(connection, name, model, version)


def _supported(connection: "Connection", name: str, model: "Model", version: int) -> Finding:
    """Whether the reference can honour the levels that the budget asks for."""
    from driftline.monitors.calibration.judges import Judges
    from driftline.monitors.calibration.support import supports, usual_rows

    judges = Judges(name, model)
    judges.refresh(connection)
    judge = judges.of(connection, version, "")
    looks = supports(judge, usual_rows(judge)[-1:])
    missed = [one for one in looks if not one.honoured]
    if len(missed) > _MISSED * len(looks):
        return Finding(
            "references",
            "note",
            f"{name}: {len(missed)} of {len(looks)} looks are not calibrated, the reference "
            "supports no level as rare as the budget asks for",
            f"driftline calibrate {name} shows which; longer windows, fewer columns, or a longer "
            "reference",
        )
    return Finding("references", "ok", f"{name}: version {version} supports its budget")


def runner(config: Config) -> Iterable[Finding]:
    """Does a runner live, and does it keep up?"""
    from driftline.storage.connection import connect
    from driftline.storage.monitoring import coverage, runners

    with connect(config.local_postgres(), "read") as connection:
        alive = runners.alive(connection)
        unwatched = coverage.unwatched(connection, config.models)
    for one in alive:
        age = (datetime.now(UTC) - one.beat_at).total_seconds()
        yield Finding(
            "runner", "ok", f"{one.id}: {counted(one.models, 'model')}, reported {age:.0f} s ago"
        )
    for model in unwatched:
        since = "" if model.since is None else f" since {model.since:%Y-%m-%d %H:%M}"
        text = f"{model.model} is not watched{since}: {model.reason}"
        yield Finding("runner", "problem", text, model.fix)


def grafana(config: Config) -> Iterable[Finding]:
    """May the account do what `driftline dashboards apply` needs?"""
    if config.grafana.url is None:
        return
    from driftline.dashboards.sync.permissions import check

    for right in check(config):
        level: Level = "ok" if right.ok else "problem"
        what = right.name if right.ok else f"can't {right.name}"
        yield Finding("grafana", level, what, "" if right.ok else right.detail)


CHECKS: dict[str, Check] = {
    "config": settings,
    "notify": notified,
    "transport": transport,
    "database": database,
    "rights": rights,
    "kafka": broker,
    "registry": registry,
    "references": references,
    "runner": runner,
    "grafana": grafana,
}
