"""Variables that the reader of a dashboard selects, and links."""

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from driftline import names
from driftline.dashboards.panels.board import DATASOURCE
from driftline.dashboards.panels.scope import ALL_ROWS, WINDOW, Scope, length

_EVERY = "$__all"


def of_model() -> build.QueryVariable:
    """The model, by name."""
    return _query("model", "Model", "SELECT name FROM driftline.model ORDER BY name")


def window(scope: Scope) -> build.QueryVariable:
    """The window length in seconds, of those in the config."""
    rows = ", ".join(
        f"({number}, '{length(seconds)}', '{seconds}')"
        for number, seconds in enumerate(scope.seconds)
    )
    sql = (
        f'SELECT text AS "__text", seconds AS "__value"'
        f" FROM (VALUES {rows}) AS choice (number, text, seconds) ORDER BY number"
    )
    first = scope.seconds[0]
    default = model.VariableOption(True, length(first), str(first))
    return _query("window", "Window", sql).current(default)


def version(scope: Scope) -> build.QueryVariable:
    """One or more versions; all by default."""
    sql = (
        f"SELECT version::text FROM driftline.model_version WHERE model = {scope.model}"
        " ORDER BY version DESC"
    )
    every = model.VariableOption(True, ["All"], [_EVERY])
    return _query("version", "Version", sql).multi(True).include_all(True).current(every)


def segment(scope: Scope) -> build.QueryVariable:
    """All rows, or one of the segments in the last window."""
    sql = f"""\
SELECT '{ALL_ROWS}' UNION ALL (
  SELECT DISTINCT segment FROM driftline.window_stat
   WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {_last(scope)}
     AND "column" = '{names.SCORE}' AND segment <> '' ORDER BY 1)"""
    default = model.VariableOption(True, ALL_ROWS, ALL_ROWS)
    return _query("segment", "Segment", sql).current(default)


def column(scope: Scope) -> build.QueryVariable:
    """A column to inspect, the largest drift first; a click on the drift timeline selects it."""
    sql = f"""\
SELECT stat."column"
  FROM (SELECT DISTINCT "column" FROM driftline.window_stat
         WHERE model = {scope.model} AND window_seconds = {WINDOW}
           AND window_end = {_last(scope)} AND segment = '') AS stat
  LEFT JOIN (SELECT "column", max(abs(effect)) AS effect FROM driftline.verdict
              WHERE model = {scope.model} AND window_seconds = {WINDOW}
                AND window_end = {_last(scope)} AND family = 'drift'
              GROUP BY 1) AS drift USING ("column")
 ORDER BY effect DESC NULLS LAST, 1"""
    return _query("column", "Column", sql)


def _last(scope: Scope) -> str:
    """SQL: the last window with rows in any time range: zooming must not remove options."""
    return (
        f"(SELECT max(window_end) FROM driftline.judged_window WHERE model = {scope.model}"
        f" AND window_seconds = {WINDOW} AND rows > 0)"
    )


def _query(name: str, label: str, sql: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(label)
        .query(sql)
        .datasource(DATASOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def links() -> list[build.DashboardLink]:
    """Links to all driftline dashboards, with the same time range."""
    uids = {"Fleet": names.FLEET_UID, "Models": names.MODELS_UID, "Pipeline": names.PIPELINE_UID}
    direct = [
        build.DashboardLink(title)
        .type(model.DashboardLinkType.LINK)
        .url(f"/d/{uid}")
        .icon("dashboard")
        .keep_time(True)
        for title, uid in uids.items()
    ]
    dropdown = (
        build.DashboardLink("All dashboards")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([names.DASHBOARD_TAG])
        .as_dropdown(True)
        .keep_time(True)
    )
    return [*direct, dropdown]


def link(title: str, url: str) -> build.DashboardLink:
    """A link from a panel or from a value in it."""
    return build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url)
