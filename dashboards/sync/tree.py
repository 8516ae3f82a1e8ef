"""A dashboard as a tree that can be compared and merged, and back.

Lists whose elements have a name of their own become mappings by that name, panels by their id and
out of collapsed rows; what the page of Grafana rewrites by itself is taken out.
"""

from collections.abc import Mapping
from typing import Any

from driftline.dashboards.sync import ui_defaults as ui

Json = dict[str, Any]
ROW = "row"  # on a panel: the id of the row that it stands under
_NAMED = {"annotations": "name", "templating": "name"}


def pruned(value: Any) -> Any:
    """A value without what means nothing: null, empty texts, lists and mappings.

    >>> pruned({"a": "", "b": {"c": None}, "d": [0, {"e": []}]})
    {'d': [0, {}]}
    """
    if isinstance(value, Mapping):
        inner = {key: pruned(one) for key, one in value.items()}
        return {key: one for key, one in inner.items() if one not in (None, "", [], {})}
    if isinstance(value, list):
        return [pruned(one) for one in value]
    return value


def to_tree(dashboard: Json) -> Json:
    """The dashboard as a person meant it."""
    tree = _without(pruned(dashboard), ui.DASHBOARD)
    tree = {key: value for key, value in tree.items() if key not in ui.STAMPS}
    for key, name in _NAMED.items():
        entries = _by_name(tree.get(key, {}).get("list", []), name)
        if key == "annotations":
            entries.pop(ui.BUILT_IN, None)
        else:
            entries = {name: _without(entry, ui.VARIABLE) for name, entry in entries.items()}
        rest = {k: v for k, v in tree.get(key, {}).items() if k != "list"}
        tree[key] = {**rest, "list": entries}
    if "tags" in tree:
        tree["tags"] = {tag: tag for tag in tree["tags"]}
    tree["panels"] = {str(panel["id"]): _panel(panel) for panel in _flat(tree.get("panels", []))}
    return tree


def from_tree(tree: Json, schema_version: int | None) -> Json:
    """A dashboard as Grafana takes it.

    Parameters:
        tree: of `to_tree`, or merged from such.
        schema_version: that the content was written in.
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
    """All panels, each with the row it stands under, collapsed or not."""
    found, row = [], None
    for panel in sorted(panels, key=_place):
        inner = panel.get("panels", [])
        outside = {key: value for key, value in panel.items() if key != "panels"}
        if panel.get("type") == "row":
            row = panel["id"]
            found.append(outside)
        else:
            found.append({**outside, ROW: row} if row is not None else outside)
        found += [{**one, ROW: panel["id"]} for one in inner]
    return found


def _nested(panels: list[Json]) -> list[Json]:
    """The page's own form: what stands under a collapsed row is inside it."""
    collapsed = {panel["id"] for panel in panels if panel.get("collapsed")}
    top: list[Json] = []
    inside: list[Json] = []
    for panel in map(_unnamed_targets, panels):
        (inside if panel.get(ROW) in collapsed else top).append(panel)
    made = []
    for panel in sorted(top, key=_place):
        plain = {key: value for key, value in panel.items() if key != ROW}
        if panel.get("type") == "row":
            mine = [one for one in inside if one[ROW] == panel["id"]]
            plain["panels"] = [
                {key: value for key, value in one.items() if key != ROW}
                for one in sorted(mine, key=_place)
            ]
        made.append(plain)
    return made


def _place(panel: Json) -> tuple[int, int]:
    grid = panel.get("gridPos", {})
    return grid.get("y", 0), grid.get("x", 0)


def _panel(panel: Json) -> Json:
    kept = {key: value for key, value in panel.items() if key != "pluginVersion"}
    kept = _without(_without_bases(kept), ui.PANEL)
    kind = kept.get("type", "")
    if kind != "row":
        kept = _without(kept, _defaults(kind, kept))
    if "datasource" in kept:
        kept["datasource"] = _renamed(kept["datasource"])
    if "targets" in kept:
        targets = [_target(target) for target in kept["targets"]]
        kept["targets"] = _by_name(targets, "refId")
    return kept


def _defaults(kind: str, panel: Json) -> Json:
    """What a panel of a kind has by default, with what its own field makes default."""
    field = panel.get("fieldConfig", {}).get("defaults", {})
    more = dict(ui.RANGES.get((kind, field.get("unit", "")), {}))
    more |= {key: field[key] for key in ui.THROWN_AWAY.get(kind, ()) if key in field}
    usual = ui.DEFAULTS.get(kind, ui.ANY_TYPE)
    config = usual["fieldConfig"]
    return {
        **usual,
        "fieldConfig": {**config, "defaults": {**config["defaults"], **more}},
    }


def _without_bases(value: Any) -> Any:
    """Without the value of the first step of thresholds, which holds from minus infinity on."""
    if isinstance(value, list):
        return [_without_bases(one) for one in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _without_bases(one) for key, one in value.items()}
    if isinstance(steps := plain.get("steps"), list) and steps and isinstance(steps[0], dict):
        first = {key: one for key, one in steps[0].items() if key != "value"}
        plain["steps"] = [first, *steps[1:]]
    return plain


def _target(target: Json) -> Json:
    """Without the editor's stub, which the statement beside it makes meaningless."""
    stubbed = target.get("editorMode") == "code" and ui.EDITOR_STUB in target
    plain = {key: one for key, one in target.items() if not (stubbed and key == ui.EDITOR_STUB)}
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
    """Without the leaves that are as by default, and without what is empty then."""
    kept: Json = {}
    for key, one in value.items():
        if key not in defaults:
            kept[key] = one
        elif isinstance(one, dict) and isinstance(defaults[key], dict):
            # all or nothing for a mapping of lists: half of a threshold means something else
            inner = {} if one == pruned(defaults[key]) else _without(one, defaults[key])
            if inner:
                kept[key] = inner
        elif one != pruned(defaults[key]):
            kept[key] = one
    return kept
