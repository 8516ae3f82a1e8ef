"""Evidently's report of a window: drift, summary, quality, and with labels performance.

One self-contained HTML page: Evidently embeds its scripts, styles and data.
"""

import html
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from driftline.errors import DriftlineError
from driftline.monitors.raw_rows import comparable_columns, evidently_data

if TYPE_CHECKING:
    from evidently.core.report import Snapshot

# forbids the page to load anything
_CSP = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "script-src 'unsafe-inline' 'unsafe-eval' blob:; style-src 'unsafe-inline'; "
    'img-src data: blob:; font-src data:; worker-src blob:">'
)
# Evidently's two assignments of JSON, one line each: strings in JSON have no line breaks
_DATA = re.compile(r"^ *var (?:additional_graphs_)?metric_[0-9a-f]{32} = .*$", re.MULTILINE)
_MIN_ROWS = 10  # or labels; with fewer, Evidently's figures mean nothing and some fail


class Page(NamedTuple):
    """A report.

    Attributes:
        html: the whole page.
        numbers: performance, by metric; "drifted" has the columns that drifted by Evidently's own
            tests, with method, score and threshold.
    """

    html: str
    numbers: dict[str, Any]


def make(
    current: pa.Table, reference: pa.Table, title: str, facts: Iterable[tuple[str, str]]
) -> Page:
    """Compare the rows of a window with those of its reference.

    Parameters:
        current: n sampled rows: features, score, `label` where known.
        reference: m rows; with labels, performance is compared too.
        title: of the page.
        facts: names and texts shown at its top.

    Raises:
        DriftlineError: too few rows, no common columns, or Evidently fails.
    """
    columns = comparable_columns.shared(current, reference)
    if min(len(current), len(reference)) < _MIN_ROWS or not columns:
        raise DriftlineError(
            f"cannot compare {len(current)} rows of the window with {len(reference)} of the "
            f"reference in {len(columns)} common columns: at least {_MIN_ROWS} rows of each are "
            "needed (use a longer window, or another reference)"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compared = _compare(current, reference, columns)
            performance = _performance(current, reference)
    except Exception as error:
        raise DriftlineError(
            f"Evidently failed to create the report: {type(error).__name__}: {error}"
        ) from error
    numbers = {"drifted": _drifted(compared), **(_performance_numbers(performance))}
    header = [*facts, *_rounded(current, reference, columns)]
    return Page(_page(title, header, compared, performance), numbers)


def _rounded(
    current: pa.Table, reference: pa.Table, columns: list[str]
) -> Iterator[tuple[str, str]]:
    """The exact limits of integers beyond float64, which Evidently and browsers round."""
    for name in columns:
        both = {"now": current[name], "reference": reference[name]}
        if any(map(comparable_columns.is_rounded, both.values())):
            limits = {when: pc.min_max(column) for when, column in both.items()}
            exact = "; ".join(
                f"{when} {limit['min']} to {limit['max']}" for when, limit in limits.items()
            )
            yield f"{name}, exactly", f"{exact}. Its figures below are rounded to 16 digits."


def _compare(current: pa.Table, reference: pa.Table, columns: list[str]) -> "Snapshot":
    evidently_data.disable_telemetry()
    from evidently import Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    report = Report([DataDriftPreset(), DataSummaryPreset()], include_tests=True)
    return report.run(
        evidently_data.dataset(current, columns), evidently_data.dataset(reference, columns)
    )


def _performance(current: pa.Table, reference: pa.Table) -> "Snapshot | None":
    if evidently_data.labels(current) < _MIN_ROWS:
        return None
    from evidently import Report
    from evidently.presets import ClassificationPreset, RegressionPreset

    score = ["score"]
    is_classification = evidently_data.is_classification(current)
    preset = ClassificationPreset() if is_classification else RegressionPreset()
    dataset = evidently_data.dataset(current, score, labelled=True)
    reference_dataset = None
    if evidently_data.labels(reference) >= _MIN_ROWS:
        reference_dataset = evidently_data.dataset(reference, score, labelled=True)
    return Report([preset]).run(dataset, reference_dataset)


def _drifted(snapshot: "Snapshot") -> dict[str, Any]:
    """The columns that drifted by Evidently's own tests."""
    content = snapshot.dict()
    scores = {metric["id"]: metric for metric in content["metrics"]}
    return {
        config["column"]: {
            "method": config["method"],
            "score": float(scores[test["metric_config"]["metric_id"]]["value"]),
            "threshold": config["threshold"],
        }
        for test in content["tests"]
        if test["id"] == "drift" and getattr(test["status"], "value", test["status"]) == "FAIL"
        for config in [test["metric_config"]["params"]]
    }


def _performance_numbers(snapshot: "Snapshot | None") -> dict[str, float]:
    if snapshot is None:
        return {}
    return {
        metric["config"]["type"].rsplit(":", 1)[-1]: float(metric["value"])
        for metric in snapshot.dict()["metrics"]
        if isinstance(metric["value"], int | float)
    }


def _page(
    title: str,
    facts: Iterable[tuple[str, str]],
    compared: "Snapshot",
    performance: "Snapshot | None",
) -> str:
    from evidently.core.metric_types import render_widgets
    from evidently.legacy.renderers.html_widgets import group_widget

    parts = [("Performance", performance), ("Drift, summary, quality", compared)]
    shown = [(name, part.to_snapshot_model()) for name, part in parts if part is not None]
    widgets = [group_widget(title=name, widgets=model.widgets) for name, model in shown]
    widgets += [widget for _, model in shown for widget in model.tests_widgets]
    page = _escape_data(render_widgets(widgets, as_iframe=False))
    page = page.replace("<head>", f"<head>{_CSP}<title>{html.escape(title)}</title>", 1)
    return page.replace("<body>", f"<body>{_header(title, facts)}", 1)


def _escape_data(page: str) -> str:
    """The page with its data escaped, so that no value can close the script element."""
    escaped, lines = _DATA.subn(lambda match: match[0].replace("<", r"\u003c"), page)
    if lines != 2:
        raise DriftlineError(
            f"cannot escape the report: {lines} lines of data where 2 were expected (this "
            "version of Evidently writes another page: install the version that driftline requires)"
        )
    return escaped


def _header(title: str, facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(
        f"<tr><th style='text-align:left;padding-right:1em'>{html.escape(name)}</th>"
        f"<td>{html.escape(text)}</td></tr>"
        for name, text in facts
    )
    return (
        "<header style='font-family:sans-serif;padding:1em 2em'>"
        f"<h1>{html.escape(title)}</h1><table>{rows}</table>"
        "</header>"
    )
