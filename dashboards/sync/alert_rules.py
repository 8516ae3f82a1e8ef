"""Alert rules as a pure function of the config: one per team, family and severity.

They read the alert table, which the state machine with its hysteresis maintains. So `for` is zero,
and every model has a row, 0 or 1: an alarm ends with a 0 and not with a missing series. A silence
does not change the row; Grafana's own silence suppresses the notification.
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
    grafana_duration,
    rule_title,
    rule_uid,
)

POSTGRES = "grafana-postgresql-datasource"
HEARTBEAT = "driftline-heartbeat"
HEARTBEAT_TITLE = names.GRAFANA_HEARTBEAT
_MAX_COLUMNS = 8  # of an incident, the strongest first
KEEP_LAST_SINCE = (11, 0)  # earlier servers reject the state KeepLast

_ALARM = """SELECT m.model, {family} AS family, {team} AS team,
  CASE WHEN a.state = 'firing' AND a.severity = {severity}
    THEN 1 ELSE 0 END::float8 AS value
FROM unnest(ARRAY[{models}]) AS m (model)
LEFT JOIN driftline.alert AS a ON a.model = m.model AND a.family = {family}"""
# The newest incident, for the annotations, which still describe it when the alarm ends. Grafana
# turns text columns into labels, which cannot be NULL. Only those of the condition's query are the
# alert's; templates also see a row of another query whose labels include them.
_INCIDENT = """SELECT m.model, {family} AS family, {team} AS team,
  coalesce(i.id::text, '') AS incident, coalesce(i.version::text, '') AS version,
  coalesce(to_char(i.since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), '') AS since,
  coalesce(top.columns, '') AS columns, coalesce(top.numbers, '') AS numbers,
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
    SELECT coalesce(nullif(item ->> 'column', ''), item ->> 'monitor') AS name,
      min(place) AS place,
      (array_agg(concat('in ' || nullif(item ->> 'segment', '') || ', ', item ->> 'detail')
        ORDER BY place))[1] AS detail
    FROM jsonb_array_elements(i.contributors) WITH ORDINALITY AS contributor (item, place)
    GROUP BY 1 ORDER BY 2 LIMIT {most}) AS ranked) AS top ON true"""
_SILENT = """SELECT CASE WHEN coalesce(max(heartbeat_at), '-infinity')
    < now() - make_interval(secs => {seconds}) THEN 1 ELSE 0 END::float8 AS value
FROM driftline.runner"""


def teams(config: Config) -> dict[str, list[str]]:
    """The models of each team, both in alphabetical order."""
    models: dict[str, list[str]] = {}
    for name in sorted(config.models):
        models.setdefault(config.models[name].team, []).append(name)
    return dict(sorted(models.items()))


def rules(config: Config, version: tuple[int, int] = KEEP_LAST_SINCE) -> list[dict[str, Any]]:
    """All alert rules, in the format of the provisioning API.

    Parameters:
        config: models, teams, runbooks and the section `grafana` are used.
        version: Grafana version. Before 11.0 there is no KeepLast; Error is the closest state that
            does not alarm for every model.
    """
    all_rules = [_heartbeat(config)]
    for team, models in teams(config).items():
        for family in get_args(Family):
            for severity in get_args(Severity):
                all_rules.append(_rule(config, team, models, family, severity))
                keeps = version >= KEEP_LAST_SINCE
                all_rules[-1]["noDataState"] = "KeepLast" if keeps else "NoData"
                all_rules[-1]["execErrState"] = "KeepLast" if keeps else "Error"
    return all_rules


def _rule(
    config: Config, team: str, models: list[str], family: Family, severity: Severity
) -> dict[str, Any]:
    settings = config.grafana
    values = {
        "family": quoted(family),
        "team": quoted(team),
        "severity": quoted(severity),
        "models": ", ".join(map(quoted, models)),
        "most": _MAX_COLUMNS,
    }
    annotations = {
        "summary": "{{ $labels.model }}: {{ $labels.family }} alarm",
        "description": (
            "Incident {{ $values.I.Labels.incident }} since {{ $values.I.Labels.since }}. The "
            "model's dashboard shows its verdicts and reports."
        ),
        "version": "{{ $values.I.Labels.version }}",
        "columns": "{{ $values.I.Labels.columns }}",
        "numbers": "{{ $values.I.Labels.numbers }}",
        # no __dashboardUid__: Grafana's link would have neither the model nor the time range
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
            notification_settings=_notification_settings(settings, team, family, severity),
        )
    )


def _heartbeat(config: Config) -> dict[str, Any]:
    settings = config.grafana
    timeout = settings.heartbeat_timeout
    seconds = int(timeout.total_seconds())
    rule = _as_json(
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
                    f"No runner has sent a heartbeat for {grafana_duration(timeout)}, or the "
                    "database does not respond. All other alerts keep their last state until then. "
                    "Start 'driftline monitor' and run 'driftline doctor'."
                ),
            },
            labels={},
            is_paused=False,
            notification_settings=_notification_settings(settings, None, "pipeline", "page"),
        )
    )
    return {**rule, "noDataState": "Alerting", "execErrState": "Alerting"}


def address(settings: Grafana) -> str:
    """The URL of Grafana for people."""
    return settings.public_url or settings.url or ""


def _runbook(config: Config, models: list[str]) -> str:
    """A template that selects the runbook URL by model."""
    by_address: dict[str, list[str]] = {}
    for name in models:
        if address := config.models[name].runbook:
            by_address.setdefault(address, []).append(name)
    if len(by_address) == 1 and len(next(iter(by_address.values()))) == len(models):
        return next(iter(by_address))
    return "".join(
        f"{{{{ if eq $labels.model {' '.join(map(json.dumps, names))} }}}}{address}{{{{ end }}}}"
        for address, names in by_address.items()
    )


def route_of(settings: Grafana, team: str | None, family: str, severity: str) -> Route | None:
    """The first route that matches."""
    matching = (route for route in settings.routing.routes if route.matches(team, family, severity))
    return next(matching, None)


def _notification_settings(
    settings: Grafana, team: str | None, family: str, severity: str
) -> NotificationSettings | None:
    route = route_of(settings, team, family, severity)
    if route is None or settings.routing.mode != "notification_settings":
        return None
    return NotificationSettings(
        receiver=f"driftline-{route.contact_point}",
        group_by=["grafana_folder", "alertname"],
        group_wait=grafana_duration(route.group_wait),
        group_interval=grafana_duration(route.group_interval),
        repeat_interval=grafana_duration(route.repeat_interval),
        mute_time_intervals=[f"driftline-{name}" for name in route.mute_timings] or None,
    )


class _Model(dict[str, Any]):
    """The fields of a query; the SDK has no builder for SQL or expressions."""

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
    content: dict[str, Any] = json.loads(json.dumps(rule, cls=JSONEncoder))
    return content
