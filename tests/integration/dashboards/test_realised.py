"""The page's SQL of each metric, against its definition computed from the same rows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from driftline.config import Config, Metric
from driftline.dashboards.definitions.sections import realised
from driftline.dashboards.panels.macros import expand
from driftline.dashboards.panels.scope import Scope
from driftline.profile.binning import Floats
from driftline.storage.connection import connect
from driftline.storage.tables import schema

START = datetime(2024, 5, 1, tzinfo=UTC)
SLOT = timedelta(minutes=10)
EACH = 300
NAME = "fraud"

_MEANS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "brier": lambda label, score: (label - score) ** 2,
    "log_loss": lambda label, score: -np.log(np.where(label == 1, score, 1 - score)),
    "mae": lambda label, score: np.abs(label - score),
    "rmse": lambda label, score: (label - score) ** 2,
}


@pytest.fixture(scope="module")
def labelled(empty_database: Callable[[], Config]) -> tuple[Config, list[tuple[Floats, Floats]]]:
    """Two stretches with scores that repeat; the second has one class only. Each has an event
    without a label, and one whose first label was wrong."""
    config = empty_database()
    schema.migrate(config)
    schema.declare(config, NAME, pa.schema([("amount", pa.float64())]))
    rng = np.random.default_rng(3)
    known = []
    with connect(config.postgres, "migrate", autocommit=True) as connection:
        for slot in range(2):
            score = rng.integers(1, 20, EACH) / 20
            label = (rng.random(EACH) < score).astype(float) if slot == 0 else np.ones(EACH)
            for i in range(EACH):
                at = START + slot * SLOT + i * SLOT / EACH
                event = f"{slot}-{i}"
                connection.execute(
                    """INSERT INTO driftline.prediction_fraud (event_time, event_id, model_version,
                         role, score, late, source, kafka_offset, kafka_time, scored_at,
                         inference_ms, lag_ms, amount)
                       VALUES (%s, %s, 1, 'champion', %s, false, 1, %s, %s, %s, 1, 1, 1)""",
                    [at, event, score[i], slot * EACH + i, at, at],
                )
                labels = [] if i == 0 else [label[i]] if i > 1 else [1 - label[i], label[i]]
                for hours, value in enumerate(labels, start=1):
                    connection.execute(
                        """INSERT INTO driftline.label (label_time, model, event_id, label, source,
                             kafka_offset, kafka_time) VALUES (%s, %s, %s, %s, 1, %s, %s)""",
                        [at + timedelta(hours=hours), NAME, event, value, hours * EACH + i, at],
                    )
            known.append((label[1:], score[1:]))
    return config, known


@pytest.mark.parametrize("metric", get_args(Metric))
def test_the_value_and_its_interval(
    labelled: tuple[Config, list[tuple[Floats, Floats]]], metric: Metric
) -> None:
    config, known = labelled
    sql = realised.sql(Scope(uid="page", seconds=(600,), name=NAME), metric)
    query = expand(sql, START, START + 2 * SLOT, SLOT, {})
    with connect(config.postgres, "read", autocommit=True) as connection:
        found = connection.execute(query.encode()).fetchall()
    expected = [_expected(metric, label, score) for label, score in known]
    assert [row[0] for row in found] == [
        START + i * SLOT for i, one in enumerate(expected) if one is not None
    ]
    for row, one in zip(found, [one for one in expected if one is not None], strict=True):
        assert row[1:] == pytest.approx(one, rel=1e-9)


def _expected(metric: str, label: Floats, score: Floats) -> tuple[float, float, float] | None:
    """Value, low and high; nothing for the ranks of one class."""
    if metric == "auc":
        yes, no = label.sum(), (1 - label).sum()
        if not yes * no:
            return None
        auc = float(metrics.roc_auc_score(label, score))
        q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)  # Hanley and McNeil 1982
        variance = auc * (1 - auc) + (yes - 1) * (q1 - auc**2) + (no - 1) * (q2 - auc**2)
        error = 1.96 * float(np.sqrt(variance / (yes * no)))
        return auc, max(auc - error, 0.0), min(auc + error, 1.0)
    loss = _MEANS[metric](label, score)
    mean, error = float(loss.mean()), 1.96 * float(loss.std(ddof=1) / np.sqrt(len(loss)))
    three = mean, mean - error, mean + error
    if metric != "rmse":
        return three
    value, low, high = (float(np.sqrt(max(one, 0.0))) for one in three)
    return value, low, high
