"""What a person edited in Grafana's page is told from what the page rewrote: recorded cases."""

import json
from pathlib import Path
from typing import Any

import pytest

from driftline.dashboards.sync.kinds.contact_point import ContactPoint
from driftline.dashboards.sync.kinds.rule import Rule
from driftline.dashboards.sync.merge import changes, merge
from driftline.dashboards.sync.tree import from_tree, to_tree

RECORDED = Path(__file__).parents[3] / "data" / "grafana" / "ui-edits"
_MOVED_DOWN = {f"panels.{number}.gridPos.y" for number in range(1, 9)}
EDITS = {
    "01_settings_description": {"description"},
    "02_rename_panel": {"panels.2.title"},
    "03_resize_panel": {
        "panels.4.gridPos.h",
        "panels.5.gridPos.y",
        "panels.7.gridPos.y",
        "panels.8.gridPos.y",
    },
    "04_add_panel": {"panels.9", *_MOVED_DOWN},
    "05_delete_panel": {"panels.4"},
    "06_threshold": {"panels.2.fieldConfig.defaults.thresholds.steps"},
    "07_edit_sql": {"panels.2.targets.A.rawSql"},
    "08_title_tags": {"title", "tags.oven"},
    "09_collapse_row": {"panels.1.collapsed"},
    "10_time_refresh": {"time.from", "refresh"},
    "11_variable_value": {
        "templating.list.machine.current.text",
        "templating.list.machine.current.value",
    },
    "12_alert_rule": {"for", "data.C.model.conditions"},
    "13_contact_point": {"settings.url"},
    "14_edit_sql_old_ds_type": {"panels.7.targets.A.rawSql"},
    "15_settings_description_after_view": {"description"},
    "16_second_ui_save": {"description"},
    "17_unsorted_panels": {"description"},
    # of 12.2
    "18_save_without_changes": set(),
    "19_save_without_drawing_all": set(),
    "20_save_of_a_model_page": set(),
}


def recorded(case: str) -> tuple[Any, Any]:
    """As it was before the edit, and after."""
    content = json.loads((RECORDED / f"{case}.json").read_text())
    return tree(case, content["before"]), tree(case, content["after"])


def tree(case: str, content: Any) -> Any:
    if case.startswith("12"):
        return Rule().tree(content, ())
    if case.startswith("13"):
        return ContactPoint().tree(content[0], ())
    return to_tree(content)


def test_all_recorded_cases_are_here() -> None:
    assert {path.stem for path in RECORDED.glob("*.json")} == set(EDITS)


@pytest.mark.parametrize("case", EDITS)
def test_the_edit_and_nothing_else_is_seen(case: str) -> None:
    before, after = recorded(case)
    assert {change.dotted_path for change in changes(before, after)} == EDITS[case]


@pytest.mark.parametrize("case", EDITS)
def test_the_edit_survives_a_change_of_ours(case: str) -> None:
    before, after = recorded(case)
    ours = {**before, "ours": "new"}
    merged = merge(before, after, ours)
    assert merged.conflicts == []
    assert {change.dotted_path for change in changes(before, merged.value)} == {
        *EDITS[case],
        "ours",
    }


@pytest.mark.parametrize("case", [case for case in EDITS if case[:2] not in ("12", "13")])
def test_a_merged_dashboard_reads_as_it_was_written(case: str) -> None:
    _, after = recorded(case)
    assert list(changes(after, to_tree(from_tree(after, 39)))) == []


def test_a_collapsed_row_keeps_its_panels_inside() -> None:
    _, after = recorded("09_collapse_row")
    (row,) = from_tree(after, 39)["panels"]
    assert [panel["id"] for panel in row["panels"]] == [2, 3, 4, 5, 6, 7, 8]
