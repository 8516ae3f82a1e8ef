"""What stands now: state, version, traffic, drift, latency, labels."""

from grafana_foundation_sdk.builders import stat

from dashboards import style
from dashboards.board import Panel, describe, mapped, table
from dashboards.scope import WINDOW, Scope
from driftline import names


def panels(scope: Scope) -> list[Panel]:
    """The section."""
    return [
        state(scope),
        version(scope),
        predictions(scope),
        drifting(scope),
        inference(scope),
        missing(scope),
    ]


def state(scope: Scope) -> Panel:
    """The worst of the model's alerts."""
    states = mapped(
        ("1", "ok", "green"),
        ("2", "no data", "text"),
        ("3", "pending", "orange"),
        ("4", "broken", "purple"),
        ("5", "firing", "red"),
    )
    return describe(
        style.figure(stat.Panel()).mappings(states),
        "state",
        "State",
        "The worst state of the model's alerts, of all families.",
        table(f"""\
SELECT max(array_position(ARRAY['ok','no_data','pending','broken','firing'], state)) AS state
  FROM driftline.alert WHERE model = {scope.model}"""),
        size=(4, 4),
        empty="Not watched yet",
    )


def version(scope: Scope) -> Panel:
    """The champion."""
    return describe(
        style.figure(stat.Panel()).unit("none"),
        "version",
        "Champion",
        "The version that was promoted last.",
        table(f"""\
SELECT version FROM driftline.promotion
 WHERE model = {scope.model} AND kind <> 'refused' ORDER BY id DESC LIMIT 1"""),
        size=(4, 4),
        empty="None was promoted",
    )


def predictions(scope: Scope) -> Panel:
    """Rows of the last window."""
    return describe(
        style.figure(stat.Panel()),
        "predictions",
        "Predictions",
        "Rows of the last judged window of the range.",
        table(f"""\
SELECT rows FROM driftline.judged_window
 WHERE {scope.windows} ORDER BY window_end DESC LIMIT 1"""),
        size=(4, 4),
        empty="No window judged",
    )


def drifting(scope: Scope) -> Panel:
    """Columns in alarm."""
    return describe(
        style.figure(stat.Panel()).thresholds(style.from_zero((0, "green"), (1, "orange"))),
        "drifting",
        "Columns in alarm",
        "Columns with a drift verdict 'alarm' in the last judged window of the range.",
        table(f"""\
SELECT count(DISTINCT "column") FILTER (WHERE status = 'alarm') AS columns
  FROM driftline.verdict
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {scope.last}
   AND family = 'drift'"""),
        size=(4, 4),
        empty="No window judged",
    )


def inference(scope: Scope) -> Panel:
    """The slow end of inference."""
    return describe(
        style.figure(stat.Panel()).unit("ms").decimals(1),
        "inference now",
        "Inference p99",
        "99 % of the predictions of the last judged window took at most this.",
        table(f"""\
SELECT max(p99) AS p99 FROM driftline.window_stat
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {scope.last}
   AND "column" = '{names.INFERENCE_MS}' AND segment = '' AND role = '{names.SERVED}'"""),
        size=(4, 4),
        empty="No window judged",
    )


def missing(scope: Scope) -> Panel:
    """The worst column."""
    return describe(
        style.figure(stat.Panel()).unit("percentunit").decimals(1),
        "missing now",
        "Most missing values",
        "The largest share of missing or invalid values of a column in the last judged window.",
        table(f"""\
SELECT max((missing + invalid)::float8 / rows) AS share FROM driftline.window_stat
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {scope.last}
   AND segment = '' AND role = '{names.SERVED}' AND rows > 0"""),
        size=(4, 4),
        empty="No window judged",
    )
