"""What a real Grafana 12.2 does with the JSON of a panel, where that is not what was meant.

Seen in a browser: the contract's "Panels in a 12.2 browser" and its pictures. Each rule takes a
panel and says what a reader would see.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from driftline.dashboards.panels import palette

Panel = dict[str, Any]

NEUTRAL = ("text", "transparent")
_PALETTE = {value for value in vars(palette).values() if str(value).startswith("#")}
# What a query gives where nothing is there: no row at all breaks some panels in the browser.
_ALWAYS_A_ROW = re.compile(r"WHERE NOT EXISTS \(SELECT FROM \w+\)")
_EVERY_FIELD = {"id": "byRegexp", "options": "/.*/"}


def faults(panel: Panel) -> list[str]:
    """What is wrong in the picture, a sentence each."""
    return [fault for rule in _RULES for fault in rule(panel)]


def _defaults(panel: Panel) -> dict[str, Any]:
    found: dict[str, Any] = panel["fieldConfig"]["defaults"]
    return found


def _state_colours(panel: Panel) -> Iterator[str]:
    if panel["type"] != "state-timeline":
        return
    mode = _defaults(panel).get("color", {}).get("mode", "thresholds")
    merged = panel["options"].get("mergeValues", True)
    if mode == "thresholds" and merged:
        yield "merged by threshold: the colours of the value mappings are ignored"
    if mode != "palette-classic":
        yield "the legend shows thresholds instead of the mapped texts"


def _last_state(panel: Panel) -> Iterator[str]:
    if panel["type"] == "state-timeline" and any(
        "NULL" not in target["rawSql"] for target in panel["targets"]
    ):
        yield "the last state is drawn to the end of the range: end it by a missing value"


def _labels_of_bars(panel: Panel) -> Iterator[str]:
    if panel["type"] == "barchart" and panel["options"].get("xTickLabelMaxLength") == 0:
        yield "every label is '...'"


def _empty_cells(panel: Panel) -> Iterator[str]:
    if panel["type"] != "table" or "noValue" not in _defaults(panel):
        return
    overrides = panel["fieldConfig"]["overrides"]
    if not any(
        one["matcher"] == _EVERY_FIELD
        and any(value["id"] == "noValue" for value in one["properties"])
        for one in overrides
    ):
        yield "the text for no rows fills every empty cell"


def _colours_of_figures(panel: Panel) -> Iterator[str]:
    if panel["type"] != "stat":
        return
    steps = _defaults(panel).get("thresholds", {}).get("steps")
    if not steps:
        yield "green, and red from 80 on: it has no thresholds of its own"
    elif steps[0]["color"] not in NEUTRAL:
        yield f"what is said where nothing is there is {steps[0]['color']}"


def _no_rows(panel: Panel) -> Iterator[str]:
    if panel["type"] in ("heatmap", "state-timeline"):
        for target in panel["targets"]:
            if not _ALWAYS_A_ROW.search(target["rawSql"]):
                yield "without rows it shows an error of the browser"


def _fills(panel: Panel) -> Iterator[str]:
    custom = _defaults(panel).get("custom", {})
    if (
        panel["type"] == "timeseries"
        and custom.get("drawStyle") == "line"
        and custom.get("fillOpacity")
    ):
        yield "faint areas below every line"


def _colours(panel: Panel) -> Iterator[str]:
    """Grafana's own green and red, beside ours, are other colours, and alike to some."""
    for colour in re.findall(r"'(?:color|fixedColor)': '([^']+)'", str(panel["fieldConfig"])):
        if colour not in (*_PALETTE, *NEUTRAL):
            yield f"{colour} is no colour of a state"


def _times(panel: Panel) -> Iterator[str]:
    """An address with a range: ISO times need milliseconds, `2013-03-31T00:00:00Z` is of 1970."""
    for address in re.findall(r"(?:from|to)=(\d{4}-\d\d-\d\dT[^&\"]*)", str(panel)):
        if len(address) != len("2013-03-31T00:00:00.000Z"):
            yield f"{address} is read as a number"


_RULES: tuple[Callable[[Panel], Iterator[str]], ...] = (
    _state_colours,
    _last_state,
    _labels_of_bars,
    _empty_cells,
    _colours_of_figures,
    _no_rows,
    _fills,
    _colours,
    _times,
)
