"""Provisioning files, for teams that bring Grafana its configuration by Git and not by its API."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from dashboards.kinds.kind import Json, Wanted
from dashboards.uids import RULE_GROUP, written
from driftline.config import Config

_HEADER = "# Written by 'driftline dashboards export': change driftline.yaml instead.\n"


def export(config: Config, wanted: Iterable[Wanted], folder: Path) -> list[Path]:
    """Write everything as Grafana's own provisioning reads it.

    Secrets are not in the files: Grafana fills in `$NAME` and `$__file{PATH}`.

    Parameters:
        config: of the rules' interval and organisation.
        wanted: made without secrets; of what failed, the file is left as it is.
        folder: gets `dashboards/`, and YAML for `datasources`, `alerting`, `dashboards`.
    """
    by_kind: dict[str, list[Wanted]] = {}
    for one in wanted:
        if one.failed is not None:
            continue
        by_kind.setdefault(one.kind, []).append(one)
    titles = {one.uid: one.content["title"] for one in by_kind["folder"]}
    files: dict[str, str] = {}
    for one in by_kind.get("dashboard", []):
        place = f"dashboards/{one.content['folderUid']}/{one.uid}.json"
        files[place] = json.dumps(one.content["dashboard"], indent=2, sort_keys=True) + "\n"
    for name, make in _FILES.items():
        content = make(config, by_kind, titles)
        if content is not None:
            text = yaml.safe_dump({"apiVersion": 1, **content}, sort_keys=False, width=100)
            files[name] = _HEADER + text
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [folder / name for name in files]


Content = dict[str, Any] | None
Kinds = dict[str, list[Wanted]]


def _providers(config: Config, kinds: Kinds, titles: dict[str, str]) -> Content:
    used = {one.content["folderUid"] for one in kinds.get("dashboard", [])}
    return {
        "providers": [
            {
                "name": uid,
                "orgId": config.grafana.org,
                "folder": title,
                "folderUid": uid,
                "type": "file",
                "allowUiUpdates": config.grafana.provenance == "editable",
                "options": {"path": f"/etc/grafana/provisioning/dashboards/{uid}"},
            }
            for uid, title in titles.items()
            if uid in used
        ]
    }


def _data_sources(config: Config, kinds: Kinds, titles: dict[str, str]) -> Content:  # noqa: ARG001
    rows = [
        {
            "uid": one.uid,
            "orgId": config.grafana.org,
            **one.content,
            "secureJsonData": dict(one.secrets),
            "editable": config.grafana.provenance == "editable",
        }
        for one in kinds.get("datasource", [])
    ]
    return {"datasources": rows} if rows else None


def _rules(config: Config, kinds: Kinds, titles: dict[str, str]) -> Content:
    folders: dict[str, list[Json]] = {}
    for one in kinds["rule"]:
        rule = {
            key: value
            for key, value in one.content.items()
            if key not in ("folderUID", "ruleGroup", "orgID")
        }
        folders.setdefault(one.content["folderUID"], []).append(_escaped(rule))
    return {
        "groups": [
            {
                "orgId": config.grafana.org,
                "name": RULE_GROUP,
                "folder": titles[uid],
                "interval": written(config.grafana.interval),
                "rules": rules,
            }
            for uid, rules in folders.items()
        ]
    }


def _contact_points(config: Config, kinds: Kinds, titles: dict[str, str]) -> Content:  # noqa: ARG001
    rows = [
        {
            "orgId": config.grafana.org,
            "name": one.content["name"],
            "receivers": [
                {
                    "uid": one.uid,
                    "type": one.content["type"],
                    "settings": {**_escaped(one.content["settings"]), **one.secrets},
                    "disableResolveMessage": one.content["disableResolveMessage"],
                }
            ],
        }
        for one in kinds.get("contact_point", [])
    ]
    return {"contactPoints": rows} if rows else None


def _mute_timings(config: Config, kinds: Kinds, titles: dict[str, str]) -> Content:  # noqa: ARG001
    rows = [
        {"orgId": config.grafana.org, "name": one.uid, **one.content}
        for one in kinds.get("mute_timing", [])
    ]
    return {"muteTimes": rows} if rows else None


def _escaped(value: Any) -> Any:
    """Grafana reads `$` in these files as the start of a variable."""
    if isinstance(value, dict):
        return {key: _escaped(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


_FILES: dict[str, Callable[[Config, Kinds, dict[str, str]], Content]] = {
    "dashboards/driftline.yaml": _providers,
    "datasources/driftline.yaml": _data_sources,
    "alerting/rules.yaml": _rules,
    "alerting/contact-points.yaml": _contact_points,
    "alerting/mute-timings.yaml": _mute_timings,
}
