"""What all driftline dashboards and panels share, on top of the SDK's builders."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar, cast

import orjson
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as model

from driftline import names

DATASOURCE = model.DataSourceRef("grafana-postgresql-datasource", names.DATASOURCE_UID)
WIDTH = 24  # columns of Grafana's grid
_MAX_ANNOTATIONS = 200  # of one kind on a dashboard


class Panel(Protocol):
    """The methods that all panel builders of the SDK have; they share no base class."""

    def id(self, id_val: int) -> Self: ...
    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: model.DataSourceRef) -> Self: ...
    def targets(self, targets: list[Any]) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def decimals(self, decimals: float) -> Self: ...
    def thresholds(self, thresholds: Any) -> Self: ...
    def build(self) -> model.Panel: ...


P = TypeVar("P", bound=Panel)


@dataclass
class Query(Dataquery):
    """One SQL query of a panel; the SDK has no builder for this data source.

    Attributes:
        sql: the statement, with Grafana's macros and variables.
        shape: `time_series` for the columns time, metric and a value; `table` for anything else.
        ref: identifies the query within its panel.
    """

    sql: str
    shape: str = "time_series"
    ref: str = "A"

    def build(self) -> Dataquery:
        """Return itself: the SDK expects builders."""
        return self

    def to_json(self) -> dict[str, object]:
        """Return the query as Grafana stores it."""
        return {
            "refId": self.ref,
            "datasource": DATASOURCE,
            "format": self.shape,
            "rawQuery": True,
            "editorMode": "code",
            "rawSql": self.sql.strip(),
        }


def table(sql: str) -> Query:
    """A query whose columns are shown unchanged."""
    return Query(sql, "table")


def describe(
    panel: P,
    key: str,
    title: str,
    description: str,
    *queries: Query,
    size: tuple[int, int] = (12, 8),
    empty: str = "No data in this range",
) -> P:
    """Set what every panel needs.

    Parameters:
        key: permanent name of the panel within its dashboard. The panel id is derived from it, so
            the title and the position can change.
        size: width in columns (of 24) and height in rows of the grid.
        empty: text shown when the queries return no rows; gives the likely reason.
    """
    width, height = size
    for ref, query in zip("ABCDE", queries, strict=False):
        query.ref = ref
    return (
        panel.id(panel_id(key))
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(list(queries))
        .span(width)
        .height(height)
        .no_value(empty)
    )


def panel_id(key: str) -> int:
    """The id of a panel, from its key alone: independent of the other panels and their order."""
    return zlib.crc32(key.encode()) % 1_000_000 + 1


def steps(*values: tuple[float | None, str]) -> build.ThresholdsConfig:
    """Threshold colours, each from its value upwards; the first has the value None."""
    thresholds = [model.Threshold(value, colour) for value, colour in values]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(thresholds)


def mapped(*values: tuple[str, str, str]) -> list[model.ValueMapping]:
    """Value mappings, from tuples of value, text and colour."""
    options = {
        value: model.ValueMappingResult(text, colour, index=number)
        for number, (value, text, colour) in enumerate(values)
    }
    return [model.ValueMap(options)]


def coloured(
    name: str, colour: str, **custom: object
) -> tuple[str, list[model.DynamicConfigValue]]:
    """A field override that gives one series a fixed colour and further `custom` settings."""
    fixed = {"mode": "fixed", "fixedColor": colour}
    values = [model.DynamicConfigValue("color", fixed)]
    for key, value in custom.items():
        values.append(model.DynamicConfigValue(f"custom.{key}", value))
    return name, values


@dataclass(frozen=True)
class Section:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Annotation:
    """Events drawn on all charts; the query returns time, timeend, text and tags."""

    name: str
    sql: str
    colour: str

    def to_json(self) -> dict[str, Any]:
        """Return it as Grafana stores it; the SDK's type has no field for SQL."""
        target = Query(f"{self.sql.strip()}\nLIMIT {_MAX_ANNOTATIONS}", "table", "Anno").to_json()
        return {
            "name": self.name,
            "datasource": DATASOURCE,
            "enable": True,
            "hide": False,
            "iconColor": self.colour,
            "target": target,
            "builtIn": 0,
        }


def board(
    uid: str,
    title: str,
    description: str,
    *,
    sections: Sequence[Section],
    variables: Sequence[build.QueryVariable] = (),
    annotations: Sequence[Annotation] = (),
    links: Sequence[build.DashboardLink] = (),
    time: tuple[str, str] = ("now-7d", "now"),
    tags: Sequence[str] = (),
) -> dict[str, Any]:
    """A complete dashboard in Grafana's JSON format."""
    builder = (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([names.DASHBOARD_TAG, *tags])
        .timezone("utc")
        .editable()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time(*time)
        .refresh("1m")
        .variables(list(variables))
        .links(list(links))
    )
    for section in sections:
        builder.with_row(build.Row(section.title).id(panel_id(f"row {section.title}")))
        for panel in section.panels:
            builder.with_panel(cast(Any, panel))
    content = builder.build().to_json()
    content["annotations"] = {"list": [annotation.to_json() for annotation in annotations]}
    dashboard: dict[str, Any] = orjson.loads(
        orjson.dumps(content, _as_json, orjson.OPT_PASSTHROUGH_DATACLASS)
    )
    return dashboard


def _as_json(value: Any) -> Any:
    """Same as the SDK's own encoder, which is slower than orjson."""
    return value.to_json()
