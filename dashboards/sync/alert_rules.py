"""Alert rules as a pure function of the config: one for each family and severity of a team.

They read the alert table, where the state machine with its hysteresis lives: `for` is zero, and
every model has a row, 0 or 1, so that the end of an alarm is a 0 and not a vanished series.
A silence is none: the row stays 1, and Grafana's own silence keeps it quiet.
"""

import json
from typing import Any, get_args

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.alerting import (
    NotificationSettings,
    Query,
    RelativeTimeRange,
    Rule,
)

from driftline import names
from driftline.config import Config
from driftline.config.grafana import Grafana, Route
from driftline.config.monitors import Family, Severity
from driftline.dashboards.panels.macros import quoted
from driftline.dashboards.panels.uids import (
    FLEET_FOLDER,
    RULE_GROUP,
    folder_uid,
    rule_title,
    rule_uid,
    written,
)

POSTGRES = "grafana-postgresql-datasource"
HEARTBEAT = "driftline-heartbeat"
HEARTBEAT_TITLE = names.GRAFANA_HEARTBEAT
_COLUMNS = 8  # of an incident, at most, the strongest first
KEEP_LAST_SINCE = (11, 0)  # earlier servers refuse the state KeepLast

_ALARM = """SELECT m.model, {family} AS family, {team} AS team,
  CASE WHEN a.state = 'firing' AND a.severity = {severity}
    THEN 1 ELSE 0 END::float8 AS value
FROM unnest(ARRAY[{models}]) AS m (model)
LEFT JOIN driftline.alert AS a ON a.model = m.model AND a.family = {family}"""
# For the annotations, of the newest incident, so that the end of an alarm still says what it was.
# Grafana makes labels of text columns, and takes no NULL for one. Those of the condition's query
# alone are the alert's; templates also see a row of another query whose labels include them.
_INCIDENT = """SELECT m.model, {family} AS family, {team} AS team,
  coalesce(i.id::text, '') AS incident, coalesce(i.version::text, '') AS version,
  coalesce(to_char(i.since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), '') AS since,
  coalesce(told.columns, '') AS columns, coalesce(told.numbers, '') AS numbers,
  coalesce(round(extract(epoch FROM i.since - around.span) * 1000)::text, 'now-7d') AS "from",
  coalesce(round(extract(epoch FROM i.last + around.span) * 1000)::text, 'now') AS "to",
  coalesce(jsonb_array_length(i.contributors), 0)::float8 AS value
FROM unnest(ARRAY[{models}]) AS m (model)
LEFT JOIN LATERAL (
  SELECT id, version, since, last, contributors FROM driftline.incident
  WHERE model = m.model AND family = {family} ORDER BY opened_at DESC LIMIT 1) AS i ON true
LEFT JOIN LATERAL (SELECT greatest(i.last - i.since, interval '6 hours') AS span) AS around ON true
LEFT JOIN LATERAL (
  SELECT string_agg(name, ', ' ORDER BY place) AS columns,
    string_agg(name || ': ' || detail, '; ' ORDER BY place) AS numbers
  FROM (
    SELECT coalesce(nullif(one ->> 'column', ''), one ->> 'monitor') AS name,
      min(place) AS place,
      (array_agg(concat('in ' || nullif(one ->> 'segment', '') || ', ', one ->> 'detail')
        ORDER BY place))[1] AS detail
    FROM jsonb_array_elements(i.contributors) WITH ORDINALITY AS found (one, place)
    GROUP BY 1 ORDER BY 2 LIMIT {most}) AS ranked) AS told ON true"""
_SILENT = """SELECT CASE WHEN coalesce(max(beat_at), '-infinity')
    < now() - make_interval(secs => {seconds}) THEN 1 ELSE 0 END::float8 AS value
FROM driftline.runner"""


def teams(config: Config) -> dict[str, list[str]]:
    """The models of each team, both in order of the alphabet."""
    found: dict[str, list[str]] = {}
    for name in sorted(config.models):
        found.setdefault(config.models[name].team, []).append(name)
    return dict(sorted(found.items()))


def rules(config: Config, version: tuple[int, int] = KEEP_LAST_SINCE) -> list[dict[str, Any]]:
    """All alert rules, as the provisioning API takes them.

    Parameters:
        config: its models, teams, runbooks and the section `grafana`.
        version: of the server. Before 11.0 there is no KeepLast; Error is the nearest that is
            no alarm of every model.
    """
    made = [_heartbeat(config)]
    for team, models in teams(config).items():
        for family in get_args(Family):
            for severity in get_args(Severity):
                made.append(_rule(config, team, models, family, severity))
                keeps = version >= KEEP_LAST_SINCE
                made[-1]["noDataState"] = "KeepLast" if keeps else "NoData"
                made[-1]["execErrState"] = "KeepLast" if keeps else "Error"
    return made


def _rule(
    config: Config, team: str, models: list[str], family: Family, severity: Severity
) -> dict[str, Any]:
    settings = config.grafana
    values = {
        "family": quoted(family),
        "team": quoted(team),
        "severity": quoted(severity),
        "models": ", ".join(map(quoted, models)),
        "most": _COLUMNS,
    }
    annotations = {
        "summary": "{{ $labels.model }}: {{ $labels.family }} alarm",
        "description": (
            "Since {{ $values.I.Labels.since }}, incident {{ $values.I.Labels.incident }}: the "
            "model's page has the reports."
        ),
        "version": "{{ $values.I.Labels.version }}",
        "columns": "{{ $values.I.Labels.columns }}",
        "numbers": "{{ $values.I.Labels.numbers }}",
        # no __dashboardUid__: the link that Grafana makes of it has neither model nor range
        "dashboard": (
            f"{address(settings)}/d/{names.MODELS_UID}?var-model={{{{ $labels.model }}}}"
            "&from={{ $values.I.Labels.from }}&to={{ $values.I.Labels.to }}"
        ),
    }
    if runbook := _runbook(config, models):
        annotations["runbook_url"] = runbook
    return _as_json(
        Rule(
            uid=rule_uid(team, family, severity),
            title=rule_title(family, severity),
            folder_uid=folder_uid(team),
            rule_group=RULE_GROUP,
            org_id=settings.org,
            condition="C",
            data=[
                _sql("A", _ALARM.format(**values), settings),
                _sql("I", _INCIDENT.format(**values), settings),
                _above_half(),
            ],
            for_val="0s",
            annotations=annotations,
            labels={},
            is_paused=False,
            notification_settings=_notified(settings, team, family, severity),
        )
    )


def _heartbeat(config: Config) -> dict[str, Any]:
    settings = config.grafana
    seconds = int(settings.heartbeat.total_seconds())
    made = _as_json(
        Rule(
            uid=HEARTBEAT,
            title=HEARTBEAT_TITLE,
            folder_uid=FLEET_FOLDER,
            rule_group=RULE_GROUP,
            org_id=settings.org,
            condition="C",
            data=[_sql("A", _SILENT.format(seconds=seconds), settings), _above_half()],
            for_val="0s",
            annotations={
                "summary": "No driftline runner is running, or its database is unavailable",
                "description": (
                    f"No runner has reported for {written(settings.heartbeat)} or ever, or the "
                    "database does not answer. All other alerts keep their last state meanwhile. "
                    "Start 'driftline monitor'; 'driftline doctor' says more."
                ),
            },
            labels={},
            is_paused=False,
            notification_settings=_notified(settings, None, "pipeline", "page"),
        )
    )
    return {**made, "noDataState": "Alerting", "execErrState": "Alerting"}


def address(settings: Grafana) -> str:
    """Where people find Grafana."""
    return settings.public_url or settings.url or ""


def _runbook(config: Config, models: list[str]) -> str:
    """A template that gives each model its own runbook."""
    by_address: dict[str, list[str]] = {}
    for name in models:
        if address := config.models[name].runbook:
            by_address.setdefault(address, []).append(name)
    if len(by_address) == 1 and len(next(iter(by_address.values()))) == len(models):
        return next(iter(by_address))
    return "".join(
        f"{{{{ if eq $labels.model {' '.join(map(json.dumps, found))} }}}}{address}{{{{ end }}}}"
        for address, found in by_address.items()
    )


def route_of(settings: Grafana, team: str | None, family: str, severity: str) -> Route | None:
    """The first route that matches."""
    matching = (route for route in settings.routing.routes if route.matches(team, family, severity))
    return next(matching, None)


def _notified(
    settings: Grafana, team: str | None, family: str, severity: str
) -> NotificationSettings | None:
    route = route_of(settings, team, family, severity)
    if route is None or settings.routing.mode != "notification_settings":
        return None
    return NotificationSettings(
        receiver=f"driftline-{route.contact_point}",
        group_by=["grafana_folder", "alertname"],
        group_wait=written(route.group_wait),
        group_interval=written(route.group_interval),
        repeat_interval=written(route.repeat_interval),
        mute_time_intervals=[f"driftline-{name}" for name in route.mute_timings] or None,
    )


class _Model(dict[str, Any]):
    """A query's own fields; the SDK has no builder for SQL or expressions."""

    def to_json(self) -> dict[str, object]:
        return dict(self)


def _sql(ref: str, statement: str, settings: Grafana) -> Query:
    source = settings.data_source.uid
    model = _Model(
        datasource={"type": POSTGRES, "uid": source},
        editorMode="code",
        format="table",
        intervalMs=1000,
        maxDataPoints=43_200,
        rawQuery=True,
        rawSql=statement,
        refId=ref,
    )
    return _query(ref, source, model, RelativeTimeRange(from_val=600, to=0))


def _above_half() -> Query:
    model = _Model(
        conditions=[{"evaluator": {"params": [0.5], "type": "gt"}}],
        datasource={"type": "__expr__", "uid": "__expr__"},
        expression="A",
        intervalMs=1000,
        maxDataPoints=43_200,
        refId="C",
        type="threshold",
    )
    return _query("C", "__expr__", model, RelativeTimeRange(from_val=0, to=0))


def _query(ref: str, source: str, model: _Model, window: RelativeTimeRange) -> Query:
    return Query(
        ref_id=ref,
        query_type="",
        datasource_uid=source,
        relative_time_range=window,
        model=model,  # type: ignore[arg-type]
    )


def _as_json(rule: Rule) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(rule, cls=JSONEncoder))
    return made
