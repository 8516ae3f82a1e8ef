"""The distribution of a mean of draws from cells, against exact distributions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from driftline.monitors.columns.saddlepoint import mean_score
from driftline.profile.binning import Floats


@pytest.mark.parametrize("p", [0.03, 0.2, 0.5])
@pytest.mark.parametrize("n", [60, 500, 100_000])
def test_it_is_the_binomial_law(p: float, n: int) -> None:
    """Half way between two counts, where the continuous approximation has to be right."""
    for level in (0.1, 1e-2, 1e-4, 1e-6):
        count = float(stats.binom.isf(level, n, p)) + 0.5
        exact = stats.binom.sf(count, n, p)
        score = mean_score(
            np.array([count / n]), np.array([float(n)]), np.array([[1 - p, p]]), np.arange(2.0)
        )
        assert stats.norm.sf(score[0]) == pytest.approx(exact, rel=0.3)


def test_a_skewed_column_with_few_rows() -> None:
    """The central limit theorem is wrong by a factor here, in both tails."""
    rng = np.random.default_rng(0)
    points = np.exp(1.2 * stats.norm.ppf((np.arange(128) + 0.5) / 128))
    shares = np.full((1, 128), 1 / 128)
    means = points[rng.integers(0, 128, (40_000, 50))].mean(axis=1)
    repeated = np.broadcast_to(shares, (len(means), 128))
    score = mean_score(means, np.full(len(means), 50.0), repeated, points)
    for level in (0.05, 0.01, 0.001):
        times = level * len(means)
        for tail in (score > stats.norm.isf(level), score < stats.norm.ppf(level)):
            assert abs(tail.sum() - times) < 4.5 * np.sqrt(times)


@given(
    st.lists(st.floats(0.2, 1), min_size=2, max_size=20),
    st.integers(50, 10**6),
    st.floats(-2, 2),
)
def test_scores_are_finite_and_ascend_through_the_mean(
    weights: list[float], n: int, where: float
) -> None:
    shares = np.array([weights]) / sum(weights)
    points: Floats = np.arange(len(weights), dtype=np.float64) ** 2.0
    centre = float(shares[0] @ points)
    spread = float(np.sqrt(shares[0] @ (points - centre) ** 2))
    means = centre + spread * np.array([where, 0.0, where + 0.1])
    scores = mean_score(means, np.full(3, float(n)), np.repeat(shares, 3, axis=0), points)
    assert np.isfinite(scores).all()
    skewness = float(shares[0] @ (points - centre) ** 3) / spread**3
    assert scores[1] == pytest.approx(skewness / (6 * np.sqrt(n)), abs=1e-6)  # not the median
    assert scores[2] >= scores[0] - 1e-6


@pytest.mark.parametrize("n", [50, 20_000, 500_000, 10**8])
def test_scores_are_smooth_around_the_mean(n: int) -> None:
    """A difference of two near numbers, divided by one near zero, must not be taken for a score."""
    rng = np.random.default_rng(0)
    points = np.exp(rng.normal(size=130))
    shares = rng.dirichlet(np.full(130, 0.5))
    centre = float(shares @ points)
    spread = float(np.sqrt(shares @ (points - centre) ** 2))
    skewness = float(shares @ (points - centre) ** 3) / spread**3
    deviations = np.concatenate([sign * np.geomspace(1e-9, 1e-3, 400) for sign in (-1, 1)])
    many = np.broadcast_to(shares, (len(deviations), 130))
    scores = mean_score(
        centre + spread * deviations, np.full(len(deviations), float(n)), many, points
    )
    x = deviations * np.sqrt(n)
    first_order = x - skewness * (x**2 - 1) / (6 * np.sqrt(n))
    assert np.abs(scores - first_order).max() < 0.01 * max(1, np.abs(x).max())


def test_a_mean_beyond_all_cells_is_only_far() -> None:
    shares, points = np.array([[0.5, 0.5]]), np.array([0.0, 1.0])
    score = mean_score(np.array([7.0]), np.array([100.0]), shares, points)
    assert np.isfinite(score[0])
    assert score[0] > 10
