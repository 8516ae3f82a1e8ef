"""What Grafana's page writes into a panel by itself when somebody saves the dashboard.

It fills in the defaults of every panel that was drawn. Measured on Grafana 11.0, by type of panel;
what another version adds beyond this is kept like a person's edit, which does no harm.
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
_TOOLTIP = {"maxHeight": 600, "mode": "single", "sort": "none"}


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
            "tooltip": {"maxHeight": 600, "showColorScale": False, "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "reverse": False},
        },
    },
    "state-timeline": {
        "fieldConfig": _fields(
            "continuous-GrYlRd",
            fillOpacity=70,
            hideFrom=_HIDE,
            insertNulls=False,
            lineWidth=0,
            spanNulls=False,
        ),
        "options": {"tooltip": {"maxHeight": 600}},
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
        "options": {"tooltip": {"maxHeight": 600}},
    },
}
ANY_TYPE: dict[str, Any] = {"fieldConfig": _fields(), "options": {"tooltip": {"maxHeight": 600}}}

# Of the dashboard itself, and of its variables.
DASHBOARD: dict[str, Any] = {"timeRangeUpdatedDuringEditOrView": False}
VARIABLE: dict[str, Any] = {"hide": 0}
# What the server or the page counts up, or the page stamps.
STAMPS = ("id", "version", "iteration", "schemaVersion")
BUILT_IN = "Annotations & Alerts"
EDITOR_STUB = "sql"  # the SQL editor's builder, beside the statement itself
OLD_TYPE, NEW_TYPE = "postgres", "grafana-postgresql-datasource"
