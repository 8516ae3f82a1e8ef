"""The score of a share, against exact distributions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from driftline.monitors.columns.rate import rate_z


def z(hits: float, rows: float, base: float, base_rows: float) -> float:
    return float(rate_z(*(np.array([float(x)]) for x in (hits, rows, base, base_rows)))[0])


@pytest.mark.parametrize(("rows", "base_rows"), [(2_000, 90_000), (500, 500), (50, 10**6)])
@pytest.mark.parametrize("share", [0.0005, 0.01, 0.2, 0.5, 0.9])
def test_it_is_fishers_exact_test(rows: int, base_rows: int, share: float) -> None:
    """Given all hits, those of the window are hypergeometric; a tail is never called rarer than
    it is, and not much more common."""
    base = round(share * base_rows)
    distribution = stats.hypergeom
    for more in (3, 5):
        hits = min(round(rows * share + more * np.sqrt(rows * share * (1 - share)) + 1), rows)
        exact = distribution.sf(hits - 1, rows + base_rows, hits + base, rows)
        tail = stats.norm.sf(z(hits, rows, base, base_rows))
        assert exact * 0.5 <= tail
        assert np.log(tail) >= 1.6 * np.log(exact) - 3


@given(
    st.integers(1, 10**6),
    st.integers(1, 10**7),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_direction_symmetry_and_finiteness(
    rows: int, base_rows: int, share: float, base_share: float
) -> None:
    hits, base = round(rows * share), round(base_rows * base_share)
    score = z(hits, rows, base, base_rows)
    assert np.isfinite(score)
    difference = hits / rows - base / base_rows
    assert score * difference >= -1e-9
    # the same rows without the flaw say the same, the other way round; which of both is the flaw
    # cannot be told where half of all rows have it
    mirrored = z(rows - hits, rows, base_rows - base, base_rows)
    halves = 2 * (hits + base) == rows + base_rows
    assert halves or mirrored == pytest.approx(-score, abs=1e-6)


def test_false_alarms_of_rare_flaws() -> None:
    """Two sides at 1e-3: never more than that, though hits are whole numbers and the reference is
    small."""
    rng = np.random.default_rng(1)
    many = 200_000
    hits = rng.binomial(500, 0.002, many).astype(float)
    base = rng.binomial(5_000, 0.002, many).astype(float)
    scores = rate_z(hits, np.full(many, 500.0), base, np.full(many, 5_000.0))
    alarms = int((2 * stats.norm.sf(np.abs(scores)) <= 1e-3).sum())
    assert alarms <= stats.binom.isf(1e-6, many, 1e-3)


def test_what_underflows_is_still_ordered() -> None:
    scores = [z(hits, 100_000, 100, 10**7) for hits in (20_000, 50_000, 90_000)]
    assert scores == sorted(scores)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("hits", [0, 10])
def test_empty_sides(hits: int) -> None:
    assert z(0, 0, hits, 100) == 0
    assert z(hits, 100, 0, 0) == 0
