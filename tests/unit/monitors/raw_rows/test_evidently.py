"""Evidently as monitor and as report, on samples that drifted and samples that did not."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.config.monitors import Evidently
from driftline.errors import ConfigError, DriftlineError
from driftline.monitors.raw_rows import evidently_data, evidently_monitor, evidently_report

ROOT = Path(__file__).parents[4]


def rows(n: int, *, shift: float = 0.0, seed: int = 0, labelled: bool = False) -> pa.Table:
    rng = np.random.default_rng(seed)
    score = rng.random(n)
    columns = {
        "event_id": [str(i) for i in range(n)],
        "amount": rng.normal(size=n) + shift,
        "gaps": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
        "wild": np.where(rng.random(n) < 0.01, np.inf, rng.normal(size=n)),
        "country": pa.array([None if c == "x" else c for c in rng.choice(list("abx"), n)]),
        "is_new": rng.random(n) < 0.3,
        "constant": np.ones(n),
        "empty": pa.nulls(n, pa.float64()),
        "score": score,
    }
    if labelled:
        columns["label"] = (rng.random(n) < score) * 1.0
    return pa.table(columns)


PLANTED = (
    "</script><script>window.planted = 1</script><img src=x onerror='window.planted = 1'>"
    "<a href='javascript:window.planted = 1'>x</a><svg onload='window.planted = 1'><!--"
)


def planted(table: pa.Table) -> pa.Table:
    """With HTML as a category, in texts that all differ, and in a column's name."""
    hostile = [PLANTED if n % 3 else "plain" for n in range(len(table))]
    return (
        table.append_column("channel", pa.array(hostile))
        .append_column("words", pa.array([f"{n} {PLANTED}" for n in range(len(table))]))
        .append_column(f"named {PLANTED}", pa.array(hostile))
        .append_column(f"number {PLANTED}", pa.array(np.arange(len(table)) * 1.0))
    )


class Elements(HTMLParser):
    """The elements of a page, and what its scripts hold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script":
            self.scripts[-1] += data


CURRENT, DRIFTED = rows(2_000, seed=1), rows(2_000, shift=0.5, seed=1)
REFERENCE = rows(3_000)


def statuses(current: pa.Table, name: str, **options: object) -> dict[str, str]:
    verdicts = evidently_monitor.evaluate(current, REFERENCE, Evidently(name=name, options=options))
    return {verdict.column: verdict.status for verdict in verdicts}


@pytest.mark.parametrize("method", ["ks", "psi", "wasserstein", "jensenshannon", "t_test"])
def test_evidently_decides_whichever_direction_its_score_has(method: str) -> None:
    assert statuses(CURRENT, "ValueDrift", column="amount", method=method) == {"amount": "ok"}
    assert statuses(DRIFTED, "ValueDrift", column="amount", method=method) == {"amount": "alarm"}


def test_a_preset_gives_a_verdict_a_column_with_method_score_and_threshold() -> None:
    verdicts = evidently_monitor.evaluate(
        DRIFTED, REFERENCE, Evidently(name="DataDriftPreset"), version=3
    )
    by_column = {verdict.column: verdict for verdict in verdicts}
    assert set(by_column) == {
        *("", "amount", "gaps", "wild", "country", "is_new", "constant", "score")
    }
    verdict = by_column["amount"]
    assert verdict.monitor == "evidently.ValueDrift(method=Wasserstein distance (normed))"
    assert (verdict.family, verdict.status, verdict.threshold) == ("drift", "alarm", 0.1)
    assert verdict.value == pytest.approx(0.5, abs=0.05)
    assert (verdict.version, verdict.rows, verdict.alerts) == (3, 2_000, False)
    assert {name for name, verdict in by_column.items() if verdict.status == "alarm"} == {"amount"}


def test_each_look_is_there_once_and_sizes_of_samples_alarm_nobody() -> None:
    verdicts = evidently_monitor.evaluate(
        CURRENT.slice(0, 500), REFERENCE, Evidently(name="DataSummaryPreset")
    )
    keys = [(verdict.monitor, verdict.column) for verdict in verdicts]
    assert len(set(keys)) == len(keys)
    counts = [
        verdict
        for verdict in verdicts
        if "RowCount" in verdict.monitor or ".count" in verdict.monitor
    ]
    assert counts
    assert {verdict.status for verdict in counts} == {"shown"}


def test_alerts_only_when_asked() -> None:
    settings = Evidently(name="ValueDrift", options={"column": "amount"}, alert=True)
    (verdict,) = evidently_monitor.evaluate(DRIFTED, REFERENCE, settings)
    assert (verdict.status, verdict.alerts) == ("alarm", True)


def test_performance_when_there_are_labels() -> None:
    verdicts = evidently_monitor.evaluate(
        rows(800, seed=2, labelled=True),
        rows(900, labelled=True),
        Evidently(name="ClassificationPreset"),
    )
    accuracy = next(verdict for verdict in verdicts if verdict.monitor == "evidently.Accuracy")
    assert accuracy.status == "ok"
    assert accuracy.value == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize(
    ("name", "options", "status", "detail"),
    [
        ("Nothing", {}, "broken", "'Nothing' is not a class in evidently.metrics"),
        ("ValueDrift", {"colum": "amount"}, "broken", "cannot create 'ValueDrift' with {'colum': "),
        ("ClassificationPreset", {}, "broken", ""),
        ("ValueDrift", {"column": "empty"}, "insufficient", "no values of 'empty'"),
    ],
)
def test_what_fails_says_so(
    name: str, options: dict[str, object], status: str, detail: str
) -> None:
    (verdict,) = evidently_monitor.evaluate(
        CURRENT, REFERENCE, Evidently(name=name, options=options)
    )
    assert verdict.status == status
    assert detail in verdict.detail


def test_odd_windows_are_insufficient_and_never_raise() -> None:
    preset = Evidently(name="DataDriftPreset")
    (verdict,) = evidently_monitor.evaluate(CURRENT.slice(0, 0), REFERENCE, preset)
    assert verdict.status == "insufficient"
    assert evidently_monitor.evaluate(CURRENT.slice(0, 1), REFERENCE, preset)
    assert evidently_monitor.evaluate(CURRENT, REFERENCE.slice(0, 1), preset)
    renamed = CURRENT.rename_columns([f"{name}_2" for name in CURRENT.column_names])
    (verdict,) = evidently_monitor.evaluate(renamed, REFERENCE, preset)
    assert verdict.status == "insufficient"


def test_config_can_be_checked() -> None:
    evidently_monitor.check(Evidently(name="DataDriftPreset", options={"drift_share": 0.3}))
    with pytest.raises(ConfigError, match=r"monitors\.evidently: 'Nothing' is not a class"):
        evidently_monitor.check(Evidently(name="Nothing"))


def test_the_report_is_one_page_that_loads_nothing() -> None:
    page = evidently_report.make(
        rows(600, shift=0.5, seed=3, labelled=True), REFERENCE, "fraud <b>", [("rows", "600")]
    )
    loaded = re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)\s*=\s*[\"']?http", page.html)
    assert loaded == []
    assert page.html.index("default-src 'none'") < page.html.index("<script")
    assert "fraud &lt;b&gt;" in page.html
    assert set(page.numbers["drifted"]) == {"amount"}
    assert page.numbers["drifted"]["amount"]["threshold"] == 0.1
    assert 0.7 < page.numbers["RocAuc"] < 0.95


def test_no_value_or_name_becomes_part_of_the_page() -> None:
    """HTML from events stays text, and is still there to be read."""
    plain = evidently_report.make(CURRENT, REFERENCE, "t", []).html
    hostile = evidently_report.make(planted(CURRENT), planted(REFERENCE), "t", []).html
    elements = Elements(hostile)
    assert elements.names == Elements(plain).names
    data = next(script for script in elements.scripts if "var metric_" in script)
    assert "<" not in data
    shown = [json.loads(text) for text in re.findall(r'"(?:[^"\\]|\\.)*"', data)]
    for text in (PLANTED, f"named {PLANTED}", f"number {PLANTED}"):
        assert text in shown


def test_a_page_that_evidently_writes_in_another_way_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from evidently.core import metric_types

    monkeypatch.setattr(metric_types, "render_widgets", lambda *_, **__: "<head><body>")
    with pytest.raises(DriftlineError, match="cannot escape the report: 0 lines of data"):
        evidently_report.make(CURRENT, REFERENCE, "t", [])


def test_without_labels_there_is_no_performance() -> None:
    page = evidently_report.make(CURRENT, REFERENCE, "t", [])
    assert set(page.numbers) == {"drifted"}
    assert page.numbers["drifted"] == {}


def test_numbers_as_labels_are_a_regression() -> None:
    current = rows(300, labelled=True)
    current = current.set_column(
        current.column_names.index("label"), "label", pa.array(current["score"].to_numpy() * 9)
    )
    page = evidently_report.make(current, REFERENCE, "t", [])
    assert page.numbers["R2Score"] < 1


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(DriftlineError, match="cannot compare 3 rows of the window with 3000"):
        evidently_report.make(CURRENT.slice(0, 3), REFERENCE, "t", [])


def test_usage_data_is_off_here_and_in_children() -> None:
    evidently_data.disable_telemetry()
    child = subprocess.run(
        [sys.executable, "-c", "import os; print(os.environ['DO_NOT_TRACK'])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == os.environ["DO_NOT_TRACK"]
    importing = [
        path
        for path in (ROOT / "monitors").rglob("*.py")
        if re.search(r"^\s+from evidently\b", path.read_text(), re.MULTILINE)
    ]
    assert importing
    assert not [path for path in importing if "disable_telemetry()" not in path.read_text()]


@given(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1).filter(
        lambda values: any(value is not None for value in values)
    )
)
def test_evidently_gets_whole_numbers_as_they_are(values: list[int | None]) -> None:
    held = evidently_data.dataset(pa.table({"k": values}), ["k"]).as_dataframe()["k"]
    assert [None if pd.isna(value) else int(value) for value in held] == values


def test_the_report_says_whole_numbers_exactly() -> None:
    """Evidently's own figures are floats, and a browser's numbers are too."""
    rng = np.random.default_rng(0)
    start = 2**53 + 1
    tables = []
    for n in (300, 200):
        cards = pa.array([None, *(start + 2 * rng.integers(0, 50, n - 2)), start + 100])
        tables.append(rows(n).append_column("card", cards))
    current, reference = tables
    page = evidently_report.make(current, reference, "cards", [])
    assert f"now {start} to {start + 100}; reference {start} to {start + 100}" in page.html
    assert "amount, exactly" not in page.html
