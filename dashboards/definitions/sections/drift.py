"""Which columns drift, when, and how."""

from grafana_foundation_sdk.builders import barchart, statetimeline, timeseries
from grafana_foundation_sdk.builders import table as table_panel

from driftline import names
from driftline.dashboards.definitions.sections import states
from driftline.dashboards.definitions.sections.histogram import against_reference
from driftline.dashboards.panels import palette, style, variables
from driftline.dashboards.panels.board import Panel, Query, coloured, describe, table
from driftline.dashboards.panels.scope import COLUMN, SEGMENT, VERSIONS, WINDOW, Scope

_MAX_COLUMNS = 20  # in the timeline; those with the most alarms
_NO_VERDICT = "No drift verdict in this range: run 'driftline monitor', or select another window"


def panels(scope: Scope) -> list[Panel]:
    """The panels of the section."""
    return [timeline(scope), histogram(scope), location(scope), effect(scope), verdicts(scope)]


def timeline(scope: Scope) -> Panel:
    """The drift verdicts of each column."""
    model = "" if scope.name is not None else "&${model:queryparam}"
    url = f"/d/{scope.uid}?var-column=${{__field.name}}{model}&${{window:queryparam}}"
    return describe(
        style.timeline(statetimeline.Panel()).data_links(
            [variables.link("Inspect this column", url + "&${__url_time_range}")]
        ),
        "drift timeline",
        "Drift by column",
        f"The worst verdict of the drift monitors in each window, for the {_MAX_COLUMNS} columns "
        "with the most alarms. Click a column to inspect it in the panels below.",
        states.of_columns(scope, "drift", _MAX_COLUMNS, _NO_VERDICT),
        size=(24, _height(scope)),
        empty=_NO_VERDICT,
    )


def _height(scope: Scope) -> int:
    """Height in rows of the grid that keeps the names of all columns readable."""
    columns = _MAX_COLUMNS
    if scope.section is not None:
        columns = min(_MAX_COLUMNS, len(scope.section.input.fields) + 1)
    return max(6, 4 + columns * 2 // 3)


def histogram(scope: Scope) -> Panel:
    """The selected column compared with its reference."""
    return describe(
        style.shares(barchart.Panel()).override_by_name(*coloured("reference", palette.EXPECTED)),
        "histogram",
        "$column: reference and current",
        "Share of each bin in the reference and in the last judged window of the time range. "
        "Zoom to select another window.",
        against_reference(scope),
        size=(12, 9),
        empty="No counts of this column in the last window",
    )


def location(scope: Scope) -> Panel:
    """Mean, median and upper end of the selected column."""
    return describe(
        style.lines(timeseries.Panel()),
        "location",
        "$column: mean, median, p95",
        "Per window; empty for text columns. All three move if the whole distribution shifts.",
        Query(f"""\
SELECT $__timeGroup(window_end, $__interval) AS time, avg(mean) AS mean, avg(p50) AS median,
       avg(p95) AS p95
  FROM driftline.window_stat
 WHERE {scope.windows} AND "column" = {COLUMN} AND {SEGMENT}
   AND role = '{names.SERVED}' AND {VERSIONS} AND coalesce(mean, p50) IS NOT NULL
 GROUP BY 1 ORDER BY 1"""),
        size=(12, 9),
        empty="Text columns have no mean: see the distribution on the left",
    )


def effect(scope: Scope) -> Panel:
    """The size of the selected column's drift."""
    return describe(
        style.lines(timeseries.Panel()).decimals(1),
        "effect",
        "$column: drift effect by monitor",
        "The change in standard deviations of the null distribution, that is, relative to how "
        "windows vary without drift. The sign shows the direction, where the monitor has one.",
        Query(f"""\
SELECT $__timeGroup(window_end, $__interval) AS time, monitor AS metric, avg(effect) AS effect
  FROM driftline.verdict
 WHERE {scope.windows} AND "column" = {COLUMN} AND {SEGMENT} AND effect IS NOT NULL
   AND family = 'drift'
 GROUP BY 1, 2 ORDER BY 1, 2"""),
        size=(12, 9),
        empty="No effect measured for this column",
    )


def verdicts(scope: Scope) -> Panel:
    """The drift verdicts of the last window."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("status", style.pill(*style.STATUSES))
    return describe(
        panel,
        "verdicts",
        "Verdicts of the last window",
        "Alarms and largest effects first. Value and threshold are in the monitor's own unit.",
        table(f"""\
SELECT "column", monitor, status, value, threshold, effect, p_value AS "p", detail
  FROM driftline.verdict
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {scope.last}
   AND family = 'drift' AND {SEGMENT}
 ORDER BY status = 'alarm' DESC, abs(effect) DESC NULLS LAST LIMIT 100"""),
        size=(12, 9),
        empty="No window judged in this range",
    )
