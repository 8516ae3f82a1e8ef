"""Which columns moved, when, and how."""

from grafana_foundation_sdk.builders import barchart, statetimeline, timeseries
from grafana_foundation_sdk.builders import table as table_panel

from driftline import names
from driftline.dashboards.definitions.sections import states
from driftline.dashboards.definitions.sections.histogram import against_reference
from driftline.dashboards.panels import palette, style, variables
from driftline.dashboards.panels.board import Panel, Query, coloured, describe, table
from driftline.dashboards.panels.scope import COLUMN, SEGMENT, VERSIONS, WINDOW, Scope

_COLUMNS = 20  # in the timeline; those with most alarms
_NO_VERDICT = "No drift verdict in this range: run 'driftline monitor', or choose another window"


def panels(scope: Scope) -> list[Panel]:
    """The section."""
    return [timeline(scope), histogram(scope), location(scope), effect(scope), verdicts(scope)]


def timeline(scope: Scope) -> Panel:
    """Every column's verdicts."""
    chosen = "" if scope.name is not None else "&${model:queryparam}"
    look = f"/d/{scope.uid}?var-column=${{__field.name}}{chosen}&${{window:queryparam}}"
    return describe(
        style.timeline(statetimeline.Panel()).data_links(
            [variables.link("Look into this column", look + "&${__url_time_range}")]
        ),
        "drift timeline",
        "Drift of each column",
        f"The worst verdict of the drift monitors in each window; of more than {_COLUMNS} columns "
        "those with most alarms. A click on a column chooses it for the panels below.",
        states.of_columns(scope, "drift", _COLUMNS, _NO_VERDICT),
        size=(24, _height(scope)),
        empty=_NO_VERDICT,
    )


def _height(scope: Scope) -> int:
    """Rows of the grid, so that the names of all columns can be read."""
    known = _COLUMNS
    if scope.section is not None:
        known = min(_COLUMNS, len(scope.section.input.fields) + 1)
    return max(6, 4 + known * 2 // 3)


def histogram(scope: Scope) -> Panel:
    """The chosen column against the reference."""
    return describe(
        style.shares(barchart.Panel()).override_by_name(*coloured("reference", palette.EXPECTED)),
        "histogram",
        "$column: reference against current",
        "Share of each bin in the reference and in the last judged window of the range: zoom to "
        "choose another one.",
        against_reference(scope),
        size=(12, 9),
        empty="The last window has no counts of this column",
    )


def location(scope: Scope) -> Panel:
    """Where the chosen column lies."""
    return describe(
        style.lines(timeseries.Panel()),
        "location",
        "$column: mean, median, p95 over time",
        "Of each window; empty for texts. Where a whole distribution moves, all three do.",
        Query(f"""\
SELECT $__timeGroup(window_end, $__interval) AS time, avg(mean) AS mean, avg(p50) AS median,
       avg(p95) AS p95
  FROM driftline.window_stat
 WHERE {scope.windows} AND "column" = {COLUMN} AND {SEGMENT}
   AND role = '{names.SERVED}' AND {VERSIONS} AND coalesce(mean, p50) IS NOT NULL
 GROUP BY 1 ORDER BY 1"""),
        size=(12, 9),
        empty="A text has no mean: see its values on the left",
    )


def effect(scope: Scope) -> Panel:
    """How far the chosen column is from its reference."""
    return describe(
        style.lines(timeseries.Panel()).decimals(1),
        "effect",
        "$column: how far from its reference, by monitor",
        "The change in standard units of what the reference's own windows show, signed where "
        "the monitor knows a direction.",
        Query(f"""\
SELECT $__timeGroup(window_end, $__interval) AS time, monitor AS metric, avg(effect) AS effect
  FROM driftline.verdict
 WHERE {scope.windows} AND "column" = {COLUMN} AND {SEGMENT} AND effect IS NOT NULL
   AND family = 'drift'
 GROUP BY 1, 2 ORDER BY 1, 2"""),
        size=(12, 9),
        empty="No monitor gave an effect for this column",
    )


def verdicts(scope: Scope) -> Panel:
    """The last window's verdicts in words."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("status", style.pill(*style.STATUSES))
    return describe(
        panel,
        "verdicts",
        "Verdicts of the last window",
        "What stands out most first; value and threshold are in each monitor's own unit.",
        table(f"""\
SELECT "column", monitor, status, value, threshold, effect, p_value AS "p", detail
  FROM driftline.verdict
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {scope.last}
   AND family = 'drift' AND {SEGMENT}
 ORDER BY status = 'alarm' DESC, abs(effect) DESC NULLS LAST LIMIT 100"""),
        size=(12, 9),
        empty="No window judged in this range",
    )
