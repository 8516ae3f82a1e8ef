"""What every dashboard and panel of driftline has in common; the SDK's builders do the rest."""

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
_SHOW_ANNOTATIONS = 200  # on one page, at most


class Panel(Protocol):
    """What the SDK's builders of panels, which have no common base, can all do."""

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
        sql: with Grafana's macros and variables.
        shape: `time_series` for columns time, metric and a value; `table` for anything else.
        ref: names it within its panel.
    """

    sql: str
    shape: str = "time_series"
    ref: str = "A"

    def build(self) -> Dataquery:
        """Itself, as the SDK asks for builders."""
        return self

    def to_json(self) -> dict[str, object]:
        """As Grafana stores it."""
        return {
            "refId": self.ref,
            "datasource": DATASOURCE,
            "format": self.shape,
            "rawQuery": True,
            "editorMode": "code",
            "rawSql": self.sql.strip(),
        }


def table(sql: str) -> Query:
    """A query whose columns are shown as they are."""
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
    """What every panel has.

    Parameters:
        key: names the panel within its dashboard for ever: its id is made of it, so that panels
            can be moved and renamed.
        size: columns (of 24) and rows of the grid.
        empty: shown when the queries have no rows; says why that may be.
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
    """A panel's id from its name: the same in any order and beside any other panels."""
    return zlib.crc32(key.encode()) % 1_000_000 + 1


def steps(*values: tuple[float | None, str]) -> build.ThresholdsConfig:
    """Colours from a value on; the first has None."""
    made = [model.Threshold(value, colour) for value, colour in values]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(made)


def mapped(*values: tuple[str, str, str]) -> list[model.ValueMapping]:
    """Value, the text shown for it, its colour."""
    options = {
        value: model.ValueMappingResult(text, colour, index=number)
        for number, (value, text, colour) in enumerate(values)
    }
    return [model.ValueMap(options)]


def coloured(
    name: str, colour: str, **custom: object
) -> tuple[str, list[model.DynamicConfigValue]]:
    """One series in a colour of its own, with more of its `custom` settings."""
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
    """Events over all charts; the query gives time, timeend, text, tags."""

    name: str
    sql: str
    colour: str

    def to_json(self) -> dict[str, Any]:
        """As Grafana stores it; the SDK's type has no place for SQL."""
        target = Query(f"{self.sql.strip()}\nLIMIT {_SHOW_ANNOTATIONS}", "table", "Anno").to_json()
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
    """A whole dashboard as Grafana's JSON."""
    page = (
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
        page.with_row(build.Row(section.title).id(panel_id(f"row {section.title}")))
        for panel in section.panels:
            page.with_panel(cast(Any, panel))
    made = page.build().to_json()
    made["annotations"] = {"list": [annotation.to_json() for annotation in annotations]}
    done: dict[str, Any] = orjson.loads(
        orjson.dumps(made, _as_json, orjson.OPT_PASSTHROUGH_DATACLASS)
    )
    return done


def _as_json(value: Any) -> Any:
    """What the SDK's own, slower encoder does."""
    return value.to_json()
