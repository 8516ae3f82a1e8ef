"""Defaults that Grafana's frontend writes into a panel when somebody saves the dashboard.

It fills in the defaults of every drawn panel. Measured on Grafana 11.0 and 12.2, by panel type.
Additions of other versions are kept like edits by people, which does no harm.
"""

from typing import Any

_HIDE = {"legend": False, "tooltip": False, "viz": False}
_LINEAR = {"type": "linear"}
_AXIS = {
    "axisBorderShow": False,
    "axisCenteredZero": False,
    "axisColorMode": "text",
    "axisLabel": "",
    "axisPlacement": "auto",
}
_LIMIT_80 = {
    "mode": "absolute",
    "steps": [{"color": "green"}, {"color": "red", "value": 80}],
}
_LEGEND = {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True}
_TOOLTIP = {"hideZeros": False, "maxHeight": 600, "mode": "single", "sort": "none"}
_PLAIN_TOOLTIP = {"hideZeros": False, "maxHeight": 600}


def _fields(color: str | None = None, **custom: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {"custom": custom, "mappings": [], "thresholds": _LIMIT_80}
    if color is not None:
        defaults["color"] = {"mode": color}
    return {"defaults": defaults, "overrides": []}


DEFAULTS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "fieldConfig": _fields(
            "palette-classic",
            **_AXIS,
            barAlignment=0,
            barWidthFactor=0.6,
            drawStyle="line",
            fillOpacity=0,
            gradientMode="none",
            hideFrom=_HIDE,
            insertNulls=False,
            lineInterpolation="linear",
            lineWidth=1,
            pointSize=5,
            scaleDistribution=_LINEAR,
            showPoints="auto",
            spanNulls=False,
            stacking={"group": "A", "mode": "none"},
            thresholdsStyle={"mode": "off"},
        ),
        "options": {"legend": _LEGEND, "tooltip": _TOOLTIP},
    },
    "stat": {
        "fieldConfig": _fields(),
        "options": {"percentChangeColorMode": "standard", "tooltip": _PLAIN_TOOLTIP},
    },
    "gauge": {
        "fieldConfig": _fields(),
        "options": {
            "minVizHeight": 75,
            "minVizWidth": 75,
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showThresholdLabels": False,
            "showThresholdMarkers": True,
            "sizing": "auto",
        },
    },
    "heatmap": {
        "fieldConfig": _fields(hideFrom=_HIDE, scaleDistribution=_LINEAR),
        "options": {
            "color": {"mode": "scheme", "scale": "exponential"},
            "legend": {"showLegend": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {**_PLAIN_TOOLTIP, "showColorScale": False, "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "reverse": False},
        },
    },
    "state-timeline": {
        "fieldConfig": _fields(
            "continuous-GrYlRd",
            axisPlacement="auto",
            fillOpacity=70,
            hideFrom=_HIDE,
            insertNulls=False,
            lineWidth=0,
            spanNulls=False,
        ),
        "options": {"tooltip": _PLAIN_TOOLTIP},
    },
    "table": {
        "fieldConfig": _fields(align="auto", cellOptions={"type": "auto"}, inspect=False),
        "options": {
            "cellHeight": "sm",
            "footer": {"countRows": False, "fields": "", "reducer": ["sum"], "show": False},
            "showHeader": True,
        },
    },
    "barchart": {
        "fieldConfig": _fields(
            "palette-classic",
            **_AXIS,
            fillOpacity=80,
            gradientMode="none",
            hideFrom=_HIDE,
            lineWidth=1,
            scaleDistribution=_LINEAR,
            thresholdsStyle={"mode": "off"},
        ),
        "options": {"tooltip": _PLAIN_TOOLTIP},
    },
}
ANY_TYPE: dict[str, Any] = {"fieldConfig": _fields(), "options": {"tooltip": _PLAIN_TOOLTIP}}
PANEL: dict[str, Any] = {"repeatDirection": "h", "transparent": False}
#: By panel type and unit, the range that the frontend writes.
RANGES: dict[tuple[str, str], dict[str, Any]] = {("stat", "percentunit"): {"min": 0, "max": 1}}
#: By panel type, the field settings that the frontend drops.
DROPPED = {"heatmap": ("noValue",)}

# Defaults of the dashboard itself, and of its variables.
DASHBOARD: dict[str, Any] = {"preload": False, "timeRangeUpdatedDuringEditOrView": False}
VARIABLE: dict[str, Any] = {
    "auto": False,
    "auto_count": 30,
    "auto_min": "10s",
    "current": {"selected": True},
    "hide": 0,
    "multi": False,
    "skipUrlSync": False,
}
# Keys that the server or the frontend sets on each save.
STAMPS = ("id", "version", "iteration", "schemaVersion")
BUILT_IN = "Annotations & Alerts"
EDITOR_STUB = "sql"  # state of the SQL editor's builder, besides the statement
OLD_TYPE, NEW_TYPE = "postgres", "grafana-postgresql-datasource"
