"""Provisioning files, for a Grafana that is configured from files instead of its API."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from driftline import names
from driftline.config import Config
from driftline.config.types import Secret
from driftline.dashboards.panels.uids import FLEET_FOLDER, RULE_GROUP, grafana_duration
from driftline.dashboards.sync.kinds.kind import DesiredObject, Json
from driftline.errors import ConfigError

_HEADER = "# Written by 'driftline dashboards export': change driftline.yaml instead.\n"
_RULES = "alerting/rules.yaml"


class Exported(NamedTuple):
    """The written files, and the files of earlier exports that were removed."""

    written: list[Path]
    removed: list[Path]


def export(
    config: Config,
    desired: Iterable[DesiredObject],
    folder: Path,
    provisioning: str = names.GRAFANA_PROVISIONING,
) -> Exported:
    """Write Grafana's provisioning files, and remove obsolete ones of earlier exports.

    The files contain no secrets: Grafana resolves `$NAME` and `$__file{PATH}`.

    Parameters:
        config: the section `grafana` is used.
        desired: created without secrets; the files of failed objects are kept.
        folder: receives `dashboards/`, and YAML for `datasources`, `alerting`, `dashboards`.
        provisioning: path of the folder's content on Grafana's machine.

    Raises:
        ConfigError: the folder title or a secret cannot be used in files, or the rules file of an
            earlier export, which lists the rules to delete, cannot be read.
    """
    if "/" in config.grafana.folder:
        raise ConfigError(
            f"grafana.folder {config.grafana.folder!r} has a slash, which Grafana takes as a path "
            "separator in files: choose a title without it"
        )
    _check_secrets(config)
    objects = list(desired)
    failed = {item.uid for item in objects if item.failed is not None}
    old_dashboards = _old_dashboards(folder)
    retained = [path for path in old_dashboards if path.stem in failed]
    uids = {path.parent.name for path in retained}
    run = _Run(config, _by_kind(objects), folder, uids, provisioning.rstrip("/") + "/dashboards")
    files = {folder / name: text for name, text in run.files()}
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ours = [*old_dashboards, *(folder / name for name in _FILES if _is_ours(folder / name))]
    removed = [path for path in ours if path not in files and path not in retained]
    for path in removed:
        path.unlink()
    return Exported(list(files), removed)


def _check_secrets(config: Config) -> None:
    """Check readable secrets: Grafana converts a variable with digits to a number."""
    for name, point in config.grafana.contact_points.items():
        for setting, secret in point.settings.items():
            if isinstance(secret, Secret) and _is_not_text(secret):
                raise ConfigError(
                    f"the secret of grafana.contact_points.{name}.settings.{setting} looks like a "
                    "number or boolean, and Grafana does not start with such a file: choose "
                    "another secret, or use 'driftline dashboards apply'"
                )


def _is_not_text(secret: Secret) -> bool:
    try:
        text = secret.read().strip().lower()
    except ConfigError:
        return False  # only Grafana's machine has it
    try:
        float(text.replace("_", ""))
    except ValueError:
        return text in ("t", "f", "true", "false")
    return True


def _by_kind(objects: list[DesiredObject]) -> dict[str, list[DesiredObject]]:
    kinds: dict[str, list[DesiredObject]] = {}
    for item in objects:
        if item.failed is None:
            kinds.setdefault(item.kind, []).append(item)
    return kinds


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.read_text().startswith(_HEADER)


def _old_dashboards(folder: Path) -> list[Path]:
    """Files of dashboards for one model that driftline wrote; no other file can become obsolete."""
    paths = folder.glob(f"dashboards/{FLEET_FOLDER}*/{names.dashboard_uid('*')}.json")
    return [path for path in sorted(paths) if _is_our_dashboard(path)]


def _is_our_dashboard(path: Path) -> bool:
    try:
        dashboard = json.loads(path.read_text())
    except ValueError:
        return False
    return dashboard.get("uid") == path.stem and names.DASHBOARD_TAG in dashboard.get("tags", [])


def _old_rules(folder: Path) -> set[str]:
    """UIDs of the rules that the existing file defines or deletes."""
    path = folder / _RULES
    if not _is_ours(path):
        return set()
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"can't read {str(path)!r}: restore or delete it: {error}") from None
    rules = [rule for group in content["groups"] for rule in group["rules"]]
    return {rule["uid"] for rule in (*rules, *content.get("deleteRules", []))}


Content = dict[str, Any] | None


@dataclass(frozen=True)
class _Run:
    """The input of the files.

    Attributes:
        kinds: the objects of each kind.
        folder: the target folder, with the files of earlier exports.
        retained: UIDs of folders with old dashboards that are kept, as generating them failed.
        dashboards_path: path of the folder `dashboards` on Grafana's machine.
    """

    config: Config
    kinds: dict[str, list[DesiredObject]]
    folder: Path
    retained: set[str]
    dashboards_path: str

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield the name and text of each file."""
        for item in self.kinds.get("dashboard", []):
            text = json.dumps(item.content["dashboard"], indent=2, sort_keys=True) + "\n"
            yield f"dashboards/{item.content['folderUid']}/{item.uid}.json", text
        for name, content_of in _FILES.items():
            content = content_of(self)
            if content is not None:
                text = yaml.safe_dump({"apiVersion": 1, **content}, sort_keys=False, width=100)
                yield name, _HEADER + text

    @property
    def titles(self) -> dict[str, str]:
        """Folder titles by UID. Files of rules identify a folder by title, so dashboards do too."""
        return {item.uid: item.content["title"] for item in self.kinds["folder"]}

    @property
    def org(self) -> int:
        """The organisation that owns the objects."""
        return self.config.grafana.org

    @property
    def editable(self) -> bool:
        """Whether people may change the objects in Grafana."""
        return self.config.grafana.provenance == "editable"


def _providers(run: _Run) -> Content:
    used = run.retained | {item.content["folderUid"] for item in run.kinds.get("dashboard", [])}
    return {
        "providers": [
            {
                "name": uid,
                "orgId": run.org,
                "folder": _escaped(title),
                "type": "file",
                "allowUiUpdates": run.editable,
                "options": {"path": _escaped(f"{run.dashboards_path}/{uid}")},
            }
            for uid, title in run.titles.items()
            if uid in used
        ]
    }


def _data_sources(run: _Run) -> Content:
    rows = [
        {
            "uid": item.uid,
            "orgId": run.org,
            **_escaped(item.content),
            "secureJsonData": dict(item.secrets),
            "editable": run.editable,
        }
        for item in run.kinds.get("datasource", [])
    ]
    return {"datasources": rows} if rows else None


def _rules(run: _Run) -> Content:
    folders: dict[str, list[Json]] = {}
    for item in run.kinds["rule"]:
        rule = {
            key: value
            for key, value in item.content.items()
            if key not in ("folderUID", "ruleGroup", "orgID")
        }
        folders.setdefault(item.content["folderUID"], []).append(_escaped_rule(rule))
    groups = [
        {
            "orgId": run.org,
            "name": RULE_GROUP,
            "folder": _escaped(run.titles[uid]),
            "interval": grafana_duration(run.config.grafana.interval),
            "rules": rules,
        }
        for uid, rules in folders.items()
    ]
    # Grafana keeps a rule that is no longer in any file, unless it is listed here
    obsolete = _old_rules(run.folder) - {item.uid for item in run.kinds["rule"]}
    deleted = [{"orgId": run.org, "uid": uid} for uid in sorted(obsolete)]
    return {"groups": groups} | ({"deleteRules": deleted} if deleted else {})


def _contact_points(run: _Run) -> Content:
    rows = [
        {
            "orgId": run.org,
            "name": _escaped(item.content["name"]),
            "receivers": [
                {
                    "uid": item.uid,
                    "type": item.content["type"],
                    "settings": {**_escaped(item.content["settings"]), **item.secrets},
                    "disableResolveMessage": item.content["disableResolveMessage"],
                }
            ],
        }
        for item in run.kinds.get("contact_point", [])
    ]
    return {"contactPoints": rows} if rows else None


def _mute_timings(run: _Run) -> Content:
    rows = [
        {"orgId": run.org, "name": item.uid, **item.content}
        for item in run.kinds.get("mute_timing", [])
    ]
    return {"muteTimes": rows} if rows else None


def _escaped_rule(rule: Json) -> Json:
    """Escape a rule, except annotations and queries: Grafana replaces no variables in those."""
    literal = ("annotations", "data")
    escaped = {key: _escaped(value) for key, value in rule.items() if key not in literal}
    queries = [{**_escaped(query), "model": query["model"]} for query in rule["data"]]
    return {**escaped, "annotations": rule["annotations"], "data": queries}


def _escaped(value: Any) -> Any:
    """Double each `$`, which starts a variable almost everywhere in these files."""
    if isinstance(value, dict):
        return {key: _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_escaped(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


_FILES: dict[str, Callable[[_Run], Content]] = {
    "dashboards/driftline.yaml": _providers,
    "datasources/driftline.yaml": _data_sources,
    _RULES: _rules,
    "alerting/contact-points.yaml": _contact_points,
    "alerting/mute-timings.yaml": _mute_timings,
}
