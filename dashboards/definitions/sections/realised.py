"""SQL of a model's metric from raw rows and labels, with a 95 % confidence interval."""

from driftline.config import Metric
from driftline.dashboards.definitions.sections.sample import LABELS, POINTS, ROWS, SLOTS, rows
from driftline.dashboards.panels.macros import quoted
from driftline.dashboards.panels.scope import Scope, rows_of

__all__ = ["LABELS", "POINTS", "ROWS", "sql"]

_Z = 1.96

# Loss of one event; the metric is the mean loss.
_LOSSES: dict[Metric, str] = {
    "brier": "(score - label) ^ 2",
    "log_loss": "-ln(greatest(CASE WHEN label > 0.5 THEN score ELSE 1 - score END, 1e-15))",
    "mae": "abs(score - label)",
    "rmse": "(score - label) ^ 2",
}


def sql(scope: Scope, metric: Metric) -> str:
    """Return SQL with the columns time, realised, low, high.

    Rows and labels are combined by GROUP BY, not by a join: without statistics the planner expects
    one row from a join and reads all labels for each event. The last label of an event counts.
    """
    assert scope.name is not None
    joined = f"""\
WITH sample AS MATERIALIZED (
  SELECT slot.start, event.event_id, event.score
    FROM {SLOTS}
  {rows(rows_of(scope.name), "event_id, score", "event")}),
labels AS MATERIALIZED (
  SELECT event_id, label, label_time FROM driftline.label
   WHERE model = {quoted(scope.name)} AND label_time > $__timeFrom()::timestamptz
   ORDER BY label_time LIMIT {LABELS}),
joined AS (
  SELECT * FROM (
    SELECT max(start) AS start, max(score) AS score, last(label, label_time) AS label
      FROM (SELECT event_id, start, score, NULL::float8 AS label, NULL::timestamptz AS label_time
              FROM sample
             UNION ALL SELECT event_id, NULL, NULL, label, label_time FROM labels) AS both_sides
     GROUP BY event_id) AS events
   WHERE start IS NOT NULL AND label IS NOT NULL)"""
    return joined + (_auc() if metric == "auc" else _mean(metric))


def _auc() -> str:
    """AUC by ranks; standard error by Hanley and McNeil, Radiology 143 (1982) 29."""
    return f""",
ranked AS (
  SELECT start, label > 0.5 AS yes, rank() OVER (PARTITION BY start ORDER BY score)
         + (count(*) OVER (PARTITION BY start, score) - 1) / 2.0 AS rank FROM joined),
counted AS (
  SELECT start, sum(rank) FILTER (WHERE yes)::float8 AS ranks,
         count(*) FILTER (WHERE yes)::float8 AS yes, count(*) FILTER (WHERE NOT yes)::float8 AS no
    FROM ranked GROUP BY start),
measured AS (
  SELECT start, yes, no, (ranks - yes * (yes + 1) / 2) / (yes * no) AS auc
    FROM counted WHERE yes > 0 AND no > 0),
judged AS (
  SELECT start, auc, sqrt(greatest(auc * (1 - auc) + (yes - 1) * (auc / (2 - auc) - auc ^ 2)
         + (no - 1) * (2 * auc ^ 2 / (1 + auc) - auc ^ 2), 0) / (yes * no)) AS error FROM measured)
SELECT start AS time, auc AS realised, greatest(auc - {_Z} * error, 0) AS low,
       least(auc + {_Z} * error, 1) AS high
  FROM judged ORDER BY 1"""


def _mean(metric: Metric) -> str:
    root = "sqrt(greatest({}, 0))" if metric == "rmse" else "{}"
    low, middle, high = (
        root.format(f"mean + {sign} * error") for sign in (f"(-{_Z})", "0", f"{_Z}")
    )
    return f""",
judged AS (
  SELECT start, avg({_LOSSES[metric]}) AS mean,
         coalesce(stddev_samp({_LOSSES[metric]}), 0) / sqrt(count(*)) AS error
    FROM joined GROUP BY start)
SELECT start AS time, {middle} AS realised, {low} AS low, {high} AS high
  FROM judged ORDER BY 1"""
