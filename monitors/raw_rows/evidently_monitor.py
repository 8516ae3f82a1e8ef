"""Any metric or preset of Evidently as a monitor, on samples of raw rows.

Evidently's own test decides: whether a high or a low score is drift differs by method, and it
picks the method by itself when none is named. Its thresholds are fixed, so its alarms are shown and
open no incidents unless the config says so.
"""

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa

from driftline.config.monitors import Evidently
from driftline.errors import ConfigError
from driftline.monitors.raw_rows import comparable_columns, evidently_data
from driftline.monitors.windows.verdict import Status, Verdict

PREFIX = "evidently"

_STATUS: dict[str, Status] = {
    "SUCCESS": "ok",
    "WARNING": "ok",
    "FAIL": "alarm",
    "ERROR": "broken",
    "SKIPPED": "insufficient",
}
# Not part of a metric's name: the column stands apart, the limit in `threshold`.
_APART = frozenset({"type", "column", "threshold", "drift_share"})
_SHOWN = 50  # numbers of one metric that nothing tests: a text has a share for each of its values
_USUAL = frozenset({"default", "auto"})


def evaluate(
    current: pa.Table, reference: pa.Table, settings: Evidently, *, version: int = 0
) -> list[Verdict]:
    """Run one metric or preset.

    Parameters:
        current: n sampled rows of the window: features, score, `label` where it is known.
        reference: m sampled rows of the reference.
        settings: its class and parameters.
        version: of the model, for the verdicts.

    Returns:
        One verdict for each number that Evidently tests; one with status `shown` for each that it
        only computes; one `broken` verdict when it fails, with its reason.
    """
    common: dict[str, Any] = {"family": "drift", "alerts": settings.alert, "version": version}
    name = f"{PREFIX}.{settings.name}"
    columns = comparable_columns.shared(current, reference)
    wanted = settings.options.get("column")
    if len(current) == 0 or not columns or (wanted is not None and wanted not in columns):
        what = "no rows" if len(current) == 0 else f"no values of {wanted or 'any column'!r}"
        detail = f"{what} in the window or the reference"
        column = str(wanted or "")
        return [
            Verdict(name, column=column, status="insufficient", rows=0, detail=detail, **common)
        ]
    try:
        found = list(_run(current, reference, columns, settings))
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"[:500]
        return [
            Verdict(name, column="", status="broken", rows=len(current), detail=detail, **common)
        ]
    return _distinct([Verdict(rows=len(current), **one, **common) for one in found])


def check(settings: Evidently) -> None:
    """See that there is such a metric or preset, and that it takes these parameters.

    Raises:
        ConfigError: otherwise.
    """
    _metric(settings)


def _metric(settings: Evidently) -> Any:
    evidently_data.silence()
    from evidently import metrics, presets

    made = getattr(presets, settings.name, None) or getattr(metrics, settings.name, None)
    if not isinstance(made, type):
        raise ConfigError(
            f"monitors.evidently: {settings.name!r} is no class of evidently.metrics or "
            "evidently.presets: see Evidently's list of metrics"
        )
    try:
        return made(**settings.options)
    except Exception as error:
        raise ConfigError(
            f"monitors.evidently: {settings.name!r} can't be made with {settings.options!r}: "
            f"{error}"
        ) from error


def _run(
    current: pa.Table, reference: pa.Table, columns: list[str], settings: Evidently
) -> Iterator[dict[str, Any]]:
    metric = _metric(settings)
    from evidently import Report

    labelled = min(map(evidently_data.labels, (current, reference))) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snapshot = Report([metric], include_tests=True).run(
            evidently_data.dataset(current, columns, labelled=labelled),
            evidently_data.dataset(reference, columns, labelled=labelled),
        )
        content = json.loads(snapshot.json())
    tests: dict[str, list[dict[str, Any]]] = {}
    for test in content["tests"]:
        tests.setdefault(test["metric_config"]["metric_id"], []).append(test)
    for one in content["metrics"]:
        yield from _findings(one, tests.get(one["id"], []))


def _findings(metric: dict[str, Any], tests: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What one metric says: its tests, or else its bare numbers."""
    name, column = _name(metric["config"]), str(metric["config"].get("column") or "")
    values = dict(_numbers(metric["value"]))
    for test in tests:
        part = _part(test)
        limit = test["test_config"].get("threshold", metric["config"].get("threshold"))
        yield {
            "monitor": f"{name}.{part}" if part else name,
            "column": column,
            "status": "shown" if _is_of_the_sample(metric, part) else _STATUS[test["status"]],
            "value": values.get(part, next(iter(values.values()), None)),
            "threshold": float(limit) if isinstance(limit, int | float) else None,
            "detail": test["description"],
        }
    for part, value in () if tests else list(values.items())[:_SHOWN]:
        yield {
            "monitor": f"{name}.{part}" if part else name,
            "column": column,
            "status": "shown",
            "value": value,
        }


def _name(config: dict[str, Any]) -> str:
    """The class and what it was told, but for what is usual: ValueDrift(method=psi)."""
    told = {key: getattr(value, "value", value) for key, value in config.items()}
    chosen = [
        f"{key}={value}" for key, value in told.items() if key not in _APART and _is_told(value)
    ]
    kind = config["type"].rsplit(":", 1)[-1]
    return f"{PREFIX}.{kind}" + (f"({', '.join(chosen)})" if chosen else "")


def _part(test: dict[str, Any]) -> str:
    """Which number of a metric that has two is tested."""
    is_count = (test["bound_test"] or {}).get("is_count")
    return "" if is_count is None else "count" if is_count else "share"


def _is_of_the_sample(metric: dict[str, Any], part: str) -> bool:
    """A number of rows says how large the samples are, and nothing of the window."""
    has_share = isinstance(metric["value"], dict) and "share" in metric["value"]
    return (part == "count" and has_share) or "RowCount" in metric["config"]["type"]


def _numbers(value: object, path: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a result, flat, by their place in it."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _numbers(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, int | float) and value == value:  # noqa: PLR0124 - NaN is no number
        yield path, float(value)


def _is_told(value: object) -> bool:
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    return plain and value not in _USUAL


def _distinct(verdicts: list[Verdict]) -> list[Verdict]:
    """Each look once: what has the same name and column gets a number."""
    seen: dict[tuple[str, str], int] = {}
    found = []
    for one in verdicts:
        times = seen[one.monitor, one.column] = seen.get((one.monitor, one.column), 0) + 1
        found.append(one if times == 1 else replace(one, monitor=f"{one.monitor}#{times}"))
    return found
