"""Provisioning files, for teams that bring Grafana its configuration by Git and not by its API."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from driftline import names
from driftline.config import Config
from driftline.config.types import Secret
from driftline.dashboards.panels.uids import FLEET_FOLDER, RULE_GROUP, written
from driftline.dashboards.sync.kinds.kind import Json, Wanted
from driftline.errors import ConfigError

_HEADER = "# Written by 'driftline dashboards export': change driftline.yaml instead.\n"
_RULES = "alerting/rules.yaml"


class Exported(NamedTuple):
    """Files that were written, and those of an earlier time that were removed."""

    written: list[Path]
    removed: list[Path]


def export(
    config: Config,
    wanted: Iterable[Wanted],
    folder: Path,
    provisioning: str = names.GRAFANA_PROVISIONING,
) -> Exported:
    """Write everything as Grafana's own provisioning reads it, and remove what is written no more.

    Secrets are not in the files: Grafana fills in `$NAME` and `$__file{PATH}`.

    Parameters:
        config: of the rules' interval and organisation.
        wanted: made without secrets; of what failed, the file is left as it is.
        folder: gets `dashboards/`, and YAML for `datasources`, `alerting`, `dashboards`.
        provisioning: where Grafana has what is in the folder.

    Raises:
        ConfigError: the folders' title or a secret does not do, or the rules of an earlier time,
            which are to be deleted, cannot be read.
    """
    if "/" in config.grafana.folder:
        raise ConfigError(
            f"grafana.folder {config.grafana.folder!r} has a slash, at which Grafana splits the "
            "folders of files: choose a title without"
        )
    _check_secrets(config)
    objects = list(wanted)
    failed = {one.uid for one in objects if one.failed is not None}
    pages = _pages_before(folder)
    kept = [path for path in pages if path.stem in failed]
    stays = {path.parent.name for path in kept}
    run = _Run(config, _by_kind(objects), folder, stays, provisioning.rstrip("/") + "/dashboards")
    files = {folder / name: text for name, text in run.files()}
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ours = [*pages, *(folder / name for name in _FILES if _is_ours(folder / name))]
    removed = [path for path in ours if path not in files and path not in kept]
    for path in removed:
        path.unlink()
    return Exported(list(files), removed)


def _check_secrets(config: Config) -> None:
    """Where they can be read here: Grafana makes a number of a variable with digits in it."""
    for name, point in config.grafana.contact_points.items():
        for setting, secret in point.settings.items():
            if isinstance(secret, Secret) and _is_no_text(secret):
                raise ConfigError(
                    f"the secret of grafana.contact_points.{name}.settings.{setting} is a number "
                    "or a truth to Grafana, which does not start with such a file: take a secret "
                    "with other characters, or bring it there by 'driftline dashboards apply'"
                )


def _is_no_text(secret: Secret) -> bool:
    try:
        text = secret.read().strip().lower()
    except ConfigError:
        return False  # Grafana's machine alone has it
    try:
        float(text.replace("_", ""))
    except ValueError:
        return text in ("t", "f", "true", "false")
    return True


def _by_kind(objects: list[Wanted]) -> dict[str, list[Wanted]]:
    kinds: dict[str, list[Wanted]] = {}
    for one in objects:
        if one.failed is None:
            kinds.setdefault(one.kind, []).append(one)
    return kinds


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.read_text().startswith(_HEADER)


def _pages_before(folder: Path) -> list[Path]:
    """The pages of models that driftline wrote; no other page's file can be one too many."""
    found = folder.glob(f"dashboards/{FLEET_FOLDER}*/{names.dashboard_uid('*')}.json")
    return [path for path in sorted(found) if _is_page(path)]


def _is_page(path: Path) -> bool:
    try:
        page = json.loads(path.read_text())
    except ValueError:
        return False
    return page.get("uid") == path.stem and names.DASHBOARD_TAG in page.get("tags", [])


def _rules_before(folder: Path) -> set[str]:
    """Rules that stood in the file, or were to be deleted by it."""
    path = folder / _RULES
    if not _is_ours(path):
        return set()
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"can't read {str(path)!r}: restore it, or delete it: {error}") from None
    rules = [rule for group in content["groups"] for rule in group["rules"]]
    return {rule["uid"] for rule in (*rules, *content.get("deleteRules", []))}


Content = dict[str, Any] | None


@dataclass(frozen=True)
class _Run:
    """What the files are made of.

    Attributes:
        kinds: the objects of each kind.
        folder: with the files of an earlier time.
        kept: folders of pages there that stay, since they could not be generated anew.
        pages: where Grafana finds the folder `dashboards`.
    """

    config: Config
    kinds: dict[str, list[Wanted]]
    folder: Path
    kept: set[str]
    pages: str

    def files(self) -> Iterator[tuple[str, str]]:
        """Name and text of each."""
        for one in self.kinds.get("dashboard", []):
            text = json.dumps(one.content["dashboard"], indent=2, sort_keys=True) + "\n"
            yield f"dashboards/{one.content['folderUid']}/{one.uid}.json", text
        for name, make in _FILES.items():
            content = make(self)
            if content is not None:
                text = yaml.safe_dump({"apiVersion": 1, **content}, sort_keys=False, width=100)
                yield name, _HEADER + text

    @property
    def titles(self) -> dict[str, str]:
        """Of folders. Rules' files name no more of one, so pages meet them there by it."""
        return {one.uid: one.content["title"] for one in self.kinds["folder"]}

    @property
    def org(self) -> int:
        """Whose objects they are."""
        return self.config.grafana.org

    @property
    def editable(self) -> bool:
        """May people change them in Grafana's pages."""
        return self.config.grafana.provenance == "editable"


def _providers(run: _Run) -> Content:
    used = run.kept | {one.content["folderUid"] for one in run.kinds.get("dashboard", [])}
    return {
        "providers": [
            {
                "name": uid,
                "orgId": run.org,
                "folder": _escaped(title),
                "type": "file",
                "allowUiUpdates": run.editable,
                "options": {"path": _escaped(f"{run.pages}/{uid}")},
            }
            for uid, title in run.titles.items()
            if uid in used
        ]
    }


def _data_sources(run: _Run) -> Content:
    rows = [
        {
            "uid": one.uid,
            "orgId": run.org,
            **_escaped(one.content),
            "secureJsonData": dict(one.secrets),
            "editable": run.editable,
        }
        for one in run.kinds.get("datasource", [])
    ]
    return {"datasources": rows} if rows else None


def _rules(run: _Run) -> Content:
    folders: dict[str, list[Json]] = {}
    for one in run.kinds["rule"]:
        rule = {
            key: value
            for key, value in one.content.items()
            if key not in ("folderUID", "ruleGroup", "orgID")
        }
        folders.setdefault(one.content["folderUID"], []).append(_escaped_rule(rule))
    groups = [
        {
            "orgId": run.org,
            "name": RULE_GROUP,
            "folder": _escaped(run.titles[uid]),
            "interval": written(run.config.grafana.interval),
            "rules": rules,
        }
        for uid, rules in folders.items()
    ]
    # Grafana keeps a rule that no file names any more
    gone = _rules_before(run.folder) - {one.uid for one in run.kinds["rule"]}
    deleted = [{"orgId": run.org, "uid": uid} for uid in sorted(gone)]
    return {"groups": groups} | ({"deleteRules": deleted} if deleted else {})


def _contact_points(run: _Run) -> Content:
    rows = [
        {
            "orgId": run.org,
            "name": _escaped(one.content["name"]),
            "receivers": [
                {
                    "uid": one.uid,
                    "type": one.content["type"],
                    "settings": {**_escaped(one.content["settings"]), **one.secrets},
                    "disableResolveMessage": one.content["disableResolveMessage"],
                }
            ],
        }
        for one in run.kinds.get("contact_point", [])
    ]
    return {"contactPoints": rows} if rows else None


def _mute_timings(run: _Run) -> Content:
    rows = [
        {"orgId": run.org, "name": one.uid, **one.content}
        for one in run.kinds.get("mute_timing", [])
    ]
    return {"muteTimes": rows} if rows else None


def _escaped_rule(rule: Json) -> Json:
    """Grafana fills in no variables in annotations and queries, and would deliver `$$` as it is."""
    made = {key: _escaped(one) for key, one in rule.items() if key not in ("annotations", "data")}
    queries = [{**_escaped(query), "model": query["model"]} for query in rule["data"]]
    return {**made, "annotations": rule["annotations"], "data": queries}


def _escaped(value: Any) -> Any:
    """Grafana reads `$` in these files as the start of a variable, in all but a few places."""
    if isinstance(value, dict):
        return {key: _escaped(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


_FILES: dict[str, Callable[[_Run], Content]] = {
    "dashboards/driftline.yaml": _providers,
    "datasources/driftline.yaml": _data_sources,
    _RULES: _rules,
    "alerting/contact-points.yaml": _contact_points,
    "alerting/mute-timings.yaml": _mute_timings,
}
