"""Any metric or preset of Evidently as a monitor, on samples of raw rows.

Evidently's own test decides: whether a high or a low score means drift depends on the method,
which it chooses itself when none is configured. Its thresholds are fixed, so its alarms are only
shown, and open no incidents unless configured to.
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
# not part of a metric's name: the verdict has fields for the column and the threshold
_NOT_IN_NAME = frozenset({"type", "column", "threshold", "drift_share"})
_MAX_SHOWN = 50  # untested numbers of a metric: a text column has a share for each of its values
_DEFAULTS = frozenset({"default", "auto"})


def evaluate(
    current: pa.Table, reference: pa.Table, settings: Evidently, *, version: int = 0
) -> list[Verdict]:
    """Run one metric or preset.

    Parameters:
        current: n sampled rows of the window: features, score, `label` where known.
        reference: m sampled rows of the reference.
        settings: the class of the metric and its parameters.
        version: of the model, for the verdicts.

    Returns:
        One verdict for each number that Evidently tests; one with status `shown` for each that it
        only computes; one `broken` verdict with the reason if it fails.
    """
    common: dict[str, Any] = {"family": "drift", "alerts": settings.alert, "version": version}
    name = f"{PREFIX}.{settings.name}"
    columns = comparable_columns.shared(current, reference)
    option = settings.options.get("column")
    if len(current) == 0 or not columns or (option is not None and option not in columns):
        missing = "no rows" if len(current) == 0 else f"no values of {option or 'any column'!r}"
        detail = f"{missing} in the window or the reference"
        column = str(option or "")
        return [
            Verdict(name, column=column, status="insufficient", rows=0, detail=detail, **common)
        ]
    try:
        results = list(_run(current, reference, columns, settings))
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"[:500]
        return [
            Verdict(name, column="", status="broken", rows=len(current), detail=detail, **common)
        ]
    return _distinct([Verdict(rows=len(current), **result, **common) for result in results])


def check(settings: Evidently) -> None:
    """Check that the metric or preset exists and accepts these parameters.

    Raises:
        ConfigError: it does not.
    """
    _metric(settings)


def _metric(settings: Evidently) -> Any:
    evidently_data.disable_telemetry()
    from evidently import metrics, presets

    metric = getattr(presets, settings.name, None) or getattr(metrics, settings.name, None)
    if not isinstance(metric, type):
        raise ConfigError(
            f"monitors.evidently: {settings.name!r} is not a class in evidently.metrics or "
            "evidently.presets: see Evidently's list of metrics"
        )
    try:
        return metric(**settings.options)
    except Exception as error:
        raise ConfigError(
            f"monitors.evidently: cannot create {settings.name!r} with {settings.options!r}: "
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
    for result in content["metrics"]:
        yield from _verdict_fields(result, tests.get(result["id"], []))


def _verdict_fields(
    metric: dict[str, Any], tests: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The fields of a metric's verdicts: one per test, or without tests one per number."""
    name, column = _name(metric["config"]), str(metric["config"].get("column") or "")
    values = dict(_numbers(metric["value"]))
    for test in tests:
        part = _part(test)
        limit = test["test_config"].get("threshold", metric["config"].get("threshold"))
        yield {
            "monitor": f"{name}.{part}" if part else name,
            "column": column,
            "status": "shown" if _depends_on_sample_size(metric, part) else _STATUS[test["status"]],
            "value": values.get(part, next(iter(values.values()), None)),
            "threshold": float(limit) if isinstance(limit, int | float) else None,
            "detail": test["description"],
        }
    for part, value in () if tests else list(values.items())[:_MAX_SHOWN]:
        yield {
            "monitor": f"{name}.{part}" if part else name,
            "column": column,
            "status": "shown",
            "value": value,
        }


def _name(config: dict[str, Any]) -> str:
    """The class with its options that are not defaults: ValueDrift(method=psi)."""
    values = {key: getattr(value, "value", value) for key, value in config.items()}
    options = [f"{k}={v}" for k, v in values.items() if k not in _NOT_IN_NAME and _is_option(v)]
    kind = config["type"].rsplit(":", 1)[-1]
    return f"{PREFIX}.{kind}" + (f"({', '.join(options)})" if options else "")


def _part(test: dict[str, Any]) -> str:
    """The tested number of a metric that has both, `count` or `share`; else ""."""
    is_count = (test["bound_test"] or {}).get("is_count")
    return "" if is_count is None else "count" if is_count else "share"


def _depends_on_sample_size(metric: dict[str, Any], part: str) -> bool:
    """Whether the number is a count of rows, which shows the sample size and not the window."""
    has_share = isinstance(metric["value"], dict) and "share" in metric["value"]
    return (part == "count" and has_share) or "RowCount" in metric["config"]["type"]


def _numbers(value: object, path: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a result, flattened, by their path."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _numbers(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, int | float) and value == value:  # noqa: PLR0124 - False for NaN
        yield path, float(value)


def _is_option(value: object) -> bool:
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    return plain and value not in _DEFAULTS


def _distinct(verdicts: list[Verdict]) -> list[Verdict]:
    """Append a number to the monitor's name where name and column occur again."""
    counts: dict[tuple[str, str], int] = {}
    distinct = []
    for verdict in verdicts:
        key = verdict.monitor, verdict.column
        n = counts[key] = counts.get(key, 0) + 1
        distinct.append(verdict if n == 1 else replace(verdict, monitor=f"{verdict.monitor}#{n}"))
    return distinct
