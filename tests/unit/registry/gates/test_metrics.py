"""Metrics against their definitions, and the errors against repeated samples."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.config import Metric
from driftline.registry.gates.metrics import NotMeasurableError, calibration_error, compare

_SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), min_size=4, max_size=30)


@given(_SCORES, st.randoms())
def test_auc_is_the_share_of_ordered_pairs(scores: list[float], random: Any) -> None:
    label = np.array([0.0, 1.0, *(random.choice([0.0, 1.0]) for _ in scores[2:])])
    score = np.asarray(scores)
    ups, downs = score[label == 1], score[label == 0]
    expected = np.mean(
        [[1.0 if up > down else 0.5 if up == down else 0.0 for up in ups] for down in downs]
    )
    comparison = compare("auc", label, score, score[::-1].copy())
    assert comparison.champion == pytest.approx(expected)
    assert comparison.worse_by == pytest.approx(comparison.champion - comparison.candidate)


def test_losses_by_hand() -> None:
    label = np.array([1.0, 0.0])
    champion, candidate = np.array([0.5, 0.5]), np.array([1.0, 0.5])
    assert compare("log_loss", label, champion, candidate).champion == pytest.approx(np.log(2))
    assert compare("brier", label, champion, candidate).worse_by == pytest.approx(-0.125)
    assert compare("mae", label, champion, candidate).worse_by == pytest.approx(-0.25)
    rmse = compare("rmse", label, champion, candidate)
    assert (rmse.champion, rmse.candidate) == pytest.approx((0.5, np.sqrt(0.125)))
    surely_wrong = compare("log_loss", label, champion, np.array([0.0, 1.0]))
    assert np.isfinite(surely_wrong.candidate)


@pytest.mark.parametrize("metric", ["log_loss", "brier", "auc", "mae", "rmse"])
def test_the_same_scores_do_not_differ(metric: Metric) -> None:
    random = np.random.default_rng(1)
    score = random.random(200)
    label = (random.random(200) < score).astype(float)
    comparison = compare(metric, label, score, score)
    assert (comparison.worse_by, comparison.standard_error) == (0, 0)


@pytest.mark.parametrize("metric", ["log_loss", "brier", "auc", "mae", "rmse"])
def test_the_standard_error_is_the_spread_of_repeated_samples(metric: Metric) -> None:
    random = np.random.default_rng(2)
    differences, errors = [], []
    for _ in range(300):
        champion = random.uniform(0.05, 0.95, 400)
        label = (random.random(400) < champion).astype(float)
        candidate = np.clip(champion + random.normal(0, 0.1, 400), 0.01, 0.99)
        comparison = compare(metric, label, champion, candidate)
        differences.append(comparison.worse_by)
        errors.append(comparison.standard_error)
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.15)


def test_what_cannot_be_measured_is_said() -> None:
    half: Any = np.full(3, 0.5)
    with pytest.raises(NotMeasurableError, match="auc needs labels of both classes"):
        compare("auc", np.ones(3), half, half)
    with pytest.raises(NotMeasurableError, match=r"brier needs labels of 0 and 1, but one is 2\b"):
        compare("brier", np.array([0.0, 1.0, 2.0]), half, half)
    with pytest.raises(NotMeasurableError, match=r"log_loss needs scores .* but one is 1\.5"):
        compare("log_loss", np.array([0.0, 1.0, 1.0]), half, half * 3)
    # a ranking has no such bounds
    assert compare("auc", np.array([0.0, 1.0, 1.0]), half, half * 3).worse_by == 0


def test_calibration_error() -> None:
    label = np.array([0.0, 0.0, 0.0, 1.0] * 100)
    assert calibration_error(label, np.full(400, 0.25)) == pytest.approx(0)
    assert calibration_error(label, np.full(400, 0.75)) == pytest.approx(0.5)
    score = np.repeat([0.1, 0.9], 200)
    half_right = np.repeat([0.0, 1.0], 200)
    assert calibration_error(half_right, score) == pytest.approx(0.1)
    # too high and too low must not cancel out between bins
    swapped = np.repeat([1.0, 0.0], 200)
    assert calibration_error(swapped, score) == pytest.approx(0.9)
