"""Convert a dashboard to a tree that can be compared and merged, and back.

Lists whose elements have a name become mappings by name; panels become a mapping by id, also those
in collapsed rows. What Grafana's frontend writes by itself is removed.
"""

from collections.abc import Mapping
from typing import Any

from driftline.dashboards.sync import ui_defaults as ui

Json = dict[str, Any]
ROW = "row"  # key of a panel: the id of its row
_NAMED = {"annotations": "name", "templating": "name"}


def pruned(value: Any) -> Any:
    """A value without null and without empty strings, lists and mappings.

    >>> pruned({"a": "", "b": {"c": None}, "d": [0, {"e": []}]})
    {'d': [0, {}]}
    """
    if isinstance(value, Mapping):
        entries = {key: pruned(inner) for key, inner in value.items()}
        return {key: inner for key, inner in entries.items() if inner not in (None, "", [], {})}
    if isinstance(value, list):
        return [pruned(inner) for inner in value]
    return value


def to_tree(dashboard: Json) -> Json:
    """The tree of a dashboard, without defaults and stamps."""
    tree = _without(pruned(dashboard), ui.DASHBOARD)
    tree = {key: value for key, value in tree.items() if key not in ui.STAMPS}
    for key, name in _NAMED.items():
        entries = _by_name(tree.get(key, {}).get("list", []), name)
        if key == "annotations":
            entries.pop(ui.BUILT_IN, None)
        else:
            entries = {name: _without(entry, ui.VARIABLE) for name, entry in entries.items()}
        other_keys = {k: v for k, v in tree.get(key, {}).items() if k != "list"}
        tree[key] = {**other_keys, "list": entries}
    if "tags" in tree:
        tree["tags"] = {tag: tag for tag in tree["tags"]}
    tree["panels"] = {str(panel["id"]): _panel(panel) for panel in _flat(tree.get("panels", []))}
    return tree


def from_tree(tree: Json, schema_version: int | None) -> Json:
    """The dashboard in Grafana's format.

    Parameters:
        tree: a result of `to_tree`, or a merge of such trees.
        schema_version: the schema version of the content.
    """
    dashboard = dict(tree)
    for key in _NAMED:
        inner = tree.get(key, {})
        dashboard[key] = {**inner, "list": list(inner.get("list", {}).values())}
    dashboard["tags"] = list(tree.get("tags", {}).values())
    dashboard["panels"] = _nested(list(tree["panels"].values()))
    if schema_version is not None:
        dashboard["schemaVersion"] = schema_version
    return dashboard


def _by_name(entries: list[Json], name: str) -> dict[str, Json]:
    return {str(entry.get(name, number)): entry for number, entry in enumerate(entries)}


def _flat(panels: list[Json]) -> list[Json]:
    """All panels, each with the id of its row, collapsed or not."""
    flat, row = [], None
    for panel in sorted(panels, key=_position):
        inner_panels = panel.get("panels", [])
        plain = {key: value for key, value in panel.items() if key != "panels"}
        if panel.get("type") == "row":
            row = panel["id"]
            flat.append(plain)
        else:
            flat.append({**plain, ROW: row} if row is not None else plain)
        flat += [{**inner, ROW: panel["id"]} for inner in inner_panels]
    return flat


def _nested(panels: list[Json]) -> list[Json]:
    """Grafana's own form: the panels of a collapsed row are inside it."""
    collapsed = {panel["id"] for panel in panels if panel.get("collapsed")}
    top: list[Json] = []
    inside: list[Json] = []
    for panel in map(_unnamed_targets, panels):
        (inside if panel.get(ROW) in collapsed else top).append(panel)
    nested = []
    for panel in sorted(top, key=_position):
        plain = {key: value for key, value in panel.items() if key != ROW}
        if panel.get("type") == "row":
            row_panels = [inner for inner in inside if inner[ROW] == panel["id"]]
            plain["panels"] = [
                {key: value for key, value in inner.items() if key != ROW}
                for inner in sorted(row_panels, key=_position)
            ]
        nested.append(plain)
    return nested


def _position(panel: Json) -> tuple[int, int]:
    grid = panel.get("gridPos", {})
    return grid.get("y", 0), grid.get("x", 0)


def _panel(panel: Json) -> Json:
    tree = {key: value for key, value in panel.items() if key != "pluginVersion"}
    tree = _without(_without_bases(tree), ui.PANEL)
    kind = tree.get("type", "")
    if kind != "row":
        tree = _without(tree, _defaults(kind, tree))
    if "datasource" in tree:
        tree["datasource"] = _renamed(tree["datasource"])
    if "targets" in tree:
        targets = [_target(target) for target in tree["targets"]]
        tree["targets"] = _by_name(targets, "refId")
    return tree


def _defaults(kind: str, panel: Json) -> Json:
    """The defaults of a panel kind, plus those that depend on the panel's own field settings."""
    field = panel.get("fieldConfig", {}).get("defaults", {})
    more = dict(ui.RANGES.get((kind, field.get("unit", "")), {}))
    more |= {key: field[key] for key in ui.DROPPED.get(kind, ()) if key in field}
    defaults = ui.DEFAULTS.get(kind, ui.ANY_TYPE)
    config = defaults["fieldConfig"]
    return {
        **defaults,
        "fieldConfig": {**config, "defaults": {**config["defaults"], **more}},
    }


def _without_bases(value: Any) -> Any:
    """A value without the value of the first threshold step, which is always minus infinity."""
    if isinstance(value, list):
        return [_without_bases(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _without_bases(inner) for key, inner in value.items()}
    if isinstance(steps := plain.get("steps"), list) and steps and isinstance(steps[0], dict):
        first = {key: inner for key, inner in steps[0].items() if key != "value"}
        plain["steps"] = [first, *steps[1:]]
    return plain


def _target(target: Json) -> Json:
    """A target without the SQL editor's stub, which is ignored in favour of the statement."""
    stubbed = target.get("editorMode") == "code" and ui.EDITOR_STUB in target
    plain = {key: value for key, value in target.items() if not (stubbed and key == ui.EDITOR_STUB)}
    if "datasource" in plain:
        plain["datasource"] = _renamed(plain["datasource"])
    return plain


def _unnamed_targets(panel: Json) -> Json:
    if "targets" not in panel:
        return panel
    return {**panel, "targets": list(panel["targets"].values())}


def _renamed(source: Any) -> Any:
    if isinstance(source, dict) and source.get("type") == ui.OLD_TYPE:
        return {**source, "type": ui.NEW_TYPE}
    return source


def _without(value: Json, defaults: Json) -> Json:
    """A mapping without the leaves that equal their defaults, and without empty results."""
    result: Json = {}
    for key, inner in value.items():
        if key not in defaults:
            result[key] = inner
        elif isinstance(inner, dict) and isinstance(defaults[key], dict):
            # lists are compared as a whole: a part of the thresholds has another meaning
            remaining = {} if inner == pruned(defaults[key]) else _without(inner, defaults[key])
            if remaining:
                result[key] = remaining
        elif inner != pruned(defaults[key]):
            result[key] = inner
    return result
