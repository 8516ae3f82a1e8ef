"""Visual styles shared by panels: one for each kind of content."""

from grafana_foundation_sdk.builders import barchart, heatmap, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders import table as table_panel
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode

from driftline.dashboards.panels import palette
from driftline.dashboards.panels.board import mapped, steps

Mapping = tuple[str, str, str]
_LONGEST_LABEL = 24  # characters under a bar; 0, the SDK's default, hides all labels

# Statuses of a verdict, the worst last.
STATUSES: tuple[Mapping, ...] = (
    ("no_data", "no data", palette.NEUTRAL),
    ("shown", "only shown", palette.NEUTRAL),
    ("insufficient", "too few rows", palette.NEUTRAL),
    ("not_calibrated", "not calibrated", palette.NOT_CALIBRATED),
    ("ok", "ok", palette.OK),
    ("alarm", "alarm", palette.ALARM),
    ("broken", "broken", palette.BROKEN),
)
# Rank of a status: the largest one in a time bucket is drawn.
RANK = f"array_position(ARRAY[{','.join(repr(name) for name, _, _ in STATUSES)}], status) - 1"
# Rank of an alert's state, from 1: its position among the first five of `ALERTS`.
ALERT_RANK = "array_position(ARRAY['ok','no_data','pending','broken','firing'], state)"
SEVERITIES: tuple[Mapping, ...] = (
    ("page", "page", palette.ALARM),
    ("ticket", "ticket", palette.PENDING),
)
# States of an alert, the worst last; the last entry stands for a model without alerts.
ALERTS: tuple[Mapping, ...] = (
    ("ok", "ok", palette.OK),
    ("no data", "no data", palette.NEUTRAL),
    ("pending", "pending", palette.PENDING),
    ("broken", "broken", palette.BROKEN),
    ("firing", "firing", palette.ALARM),
    ("not monitored", "not monitored", palette.NEUTRAL),
)
DECISIONS: tuple[Mapping, ...] = (
    ("first", "first", palette.SERVED),
    ("promoted", "promoted", palette.OK),
    ("forced", "forced", palette.PENDING),
    ("rolled_back", "rolled back", palette.ALARM),
    ("refused", "refused", palette.NEUTRAL),
)


def figure(panel: stat.Panel) -> stat.Panel:
    """A single large number."""
    last = build.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")
    return (
        panel.unit("short")
        .reduce_options(last)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.AUTO)
        .justify_mode(common.BigValueJustifyMode.AUTO)
        .thresholds(from_zero())
    )


def from_zero(*values: tuple[float, str]) -> dashboard_builders.ThresholdsConfig:
    """Threshold colours of a number >= 0; the text shown without a number stays uncoloured.

    Without own thresholds, Grafana draws a number green, and red from 80 upwards.
    """
    return steps((None, "text"), *values)


def text_figure(panel: stat.Panel) -> stat.Panel:
    """A single large word."""
    last = build.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("/.*/")
    return figure(panel).reduce_options(last)


def lines(panel: timeseries.Panel) -> timeseries.Panel:
    """Lines with gaps where there is no data."""
    return (
        panel.draw_style(common.GraphDrawStyle.LINE)
        .line_width(2)
        .fill_opacity(0)
        .show_points(common.VisibilityMode.AUTO)
        .legend(_legend().calcs(["lastNotNull", "max"]))
        .tooltip(_all_series())
    )


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """Counts as stacked bars; the axis reaches 10, so that it shows no fractions of a count."""
    return (
        panel.draw_style(common.GraphDrawStyle.BARS)
        .line_width(0)
        .fill_opacity(80)
        .axis_soft_min(0)
        .axis_soft_max(10)
        .stacking(build.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
        .legend(_legend())
        .tooltip(_all_series())
    )


def _legend() -> build.VizLegendOptions:
    return (
        build.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )


def _all_series() -> build.VizTooltipOptions:
    return (
        build.VizTooltipOptions()
        .mode(common.TooltipDisplayMode.MULTI)
        .sort(common.SortOrder.DESCENDING)
    )


def cells(panel: heatmap.Panel, scheme: str = "Blues") -> heatmap.Panel:
    """A heatmap of counts by time and bin; each series is a bin, from the lowest to the highest."""
    colour = (
        heatmap.HeatmapColorOptions()
        .mode(HeatmapColorMode.SCHEME)
        .scheme(scheme)
        .fill("dark-blue")
        .exponent(0.5)
        .steps(64)
        .reverse(False)
    )
    return panel.calculate(False).color(colour).cell_gap(1).show_legend()


def timeline(panel: statetimeline.Panel) -> statetimeline.Panel:
    """A row of coloured state intervals for each series."""
    ranks = ((str(rank), text, colour) for rank, (_, text, colour) in enumerate(STATUSES))
    return (
        panel.mappings(mapped(*ranks))
        # colours by threshold: Grafana would ignore the mappings' colours when it merges values
        .color_scheme(
            dashboard_builders.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC)
        )
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.9)
        .line_width(0)
        .fill_opacity(85)
        .legend(_legend())
    )


def listing(panel: table_panel.Panel) -> table_panel.Panel:
    """A table that is read row by row."""
    return (
        panel.cell_height(common.TableCellHeight.SM)
        .filterable(True)
        # else every empty cell shows the panel's text for no rows
        .override_by_regexp("/.*/", [DynamicConfigValue("noValue", "-")])
        .override_by_field_type(
            "time",
            [
                DynamicConfigValue("unit", "time:YYYY-MM-DD HH:mm"),
                DynamicConfigValue("custom.width", 150),
            ],
        )
    )


def ranking(panel: barchart.Panel) -> barchart.Panel:
    """Horizontal bars in the order of the query, which puts the longest first."""
    return (
        panel.orientation(common.VizOrientation.HORIZONTAL)
        .show_value(common.VisibilityMode.AUTO)
        .bar_width(0.8)
        .x_tick_label_max_length(_LONGEST_LABEL)
        .fill_opacity(80)
        .legend(build.VizLegendOptions().show_legend(False))
    )


def shares(panel: barchart.Panel) -> barchart.Panel:
    """Grouped bars: the share of each value, for example in the reference and now."""
    return (
        panel.orientation(common.VizOrientation.VERTICAL)
        .show_value(common.VisibilityMode.NEVER)
        .unit("percentunit")
        .bar_width(0.95)
        .group_width(0.85)
        .fill_opacity(75)
        .x_tick_label_rotation(-45)
        .x_tick_label_max_length(_LONGEST_LABEL)
        .legend(_legend())
    )


def pill(*values: Mapping) -> list[DynamicConfigValue]:
    """A table cell with the colour of its value as background."""
    return [
        DynamicConfigValue("mappings", mapped(*values)),
        DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
    ]


def linked(title: str, url: str, *, new_tab: bool = False) -> list[DynamicConfigValue]:
    """A table cell with a link."""
    return [
        DynamicConfigValue("links", [{"title": title, "url": url, "targetBlank": new_tab}]),
    ]


def bar() -> list[DynamicConfigValue]:
    """A table cell that shows a share as a bar."""
    return [
        DynamicConfigValue("unit", "percentunit"),
        DynamicConfigValue("max", 1),
        DynamicConfigValue("min", 0),
        DynamicConfigValue("custom.cellOptions", {"type": "gauge", "mode": "basic"}),
    ]
