"""Drift of columns together: false alarms within binomial bounds, and what no column shows."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from driftline.monitors.raw_rows import multivariate
from driftline.monitors.raw_rows.multivariate import MethodNull
from driftline.monitors.raw_rows.row_monitors import METHODS
from driftline.monitors.windows.verdict import Verdict

DAY = timedelta(days=1)
START = datetime(2024, 1, 1, tzinfo=UTC)

both_methods = pytest.mark.parametrize("name", list(METHODS))


def rows(
    rng: np.random.Generator, n: int, *, rho: float = 0.7, shift: float = 0.0, columns: int = 3
) -> pa.Table:
    """Numbers with a common part, so that any two correlate by `rho`; and a text."""
    common = rng.normal(size=(n, 1))
    values = np.sqrt(abs(rho)) * common + np.sqrt(1 - abs(rho)) * rng.normal(size=(n, columns))
    return pa.table(
        {
            **{f"x{i}": values[:, i] + shift for i in range(columns)},
            "text": rng.choice(list("abcd"), n),
            "score": rng.random(n),
        }
    )


def broken_up(rng: np.random.Generator, n: int) -> pa.Table:
    """The same columns, each with the same distribution, but nothing goes with anything."""
    return rows(rng, n, rho=0.0)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] * (name == "domain_classifier"))
        for name in METHODS
    ],
)
def test_false_alarms_of_independent_rows(name: str) -> None:
    """A replicate is an independent pair of reference and window."""
    replicates = 200
    statistics = []
    for seed in range(replicates):
        rng = np.random.default_rng(seed)
        statistics.append(METHODS[name](rows(rng, 200), rows(rng, 300)).statistic)
    p = stats.chi2.sf(statistics, 1)
    for level in (0.2, 0.05, 0.01):
        most = stats.binom.ppf(0.999, replicates, level)
        assert (p <= level).sum() <= most, level


@both_methods
def test_a_correlation_that_ends_is_found_though_no_column_shows_it(name: str) -> None:
    rng = np.random.default_rng(1)
    reference, current = rows(rng, 1_000), broken_up(rng, 1_000)
    for column in ("x0", "x1", "x2"):
        alike = stats.ks_2samp(current[column].to_numpy(), reference[column].to_numpy())
        assert alike.pvalue > 0.001
    null = multivariate.fit_null(METHODS[name], reference, DAY, 1_000, 0.0)
    verdict = judge(name, current, reference, null, level=1e-4)
    assert (verdict.status, verdict.provisional) == ("alarm", True)
    assert verdict.value is not None
    assert verdict.expected is not None
    assert verdict.value > verdict.expected


def judge(
    name: str, current: pa.Table, reference: pa.Table, null: MethodNull, level: float | None
) -> Verdict:
    return multivariate.judge(
        name, METHODS[name], current, reference, null, rows=1_000, level=level, version=1
    )


def day(rng: np.random.Generator, number: int, n: int = 120) -> pa.Table:
    """A day that differs from others: all its rows are moved together."""
    table = rows(rng, n, shift=rng.normal(0, 0.5))
    times = [START + number * DAY + timedelta(seconds=60 * i) for i in range(n)]
    return table.append_column("event_time", pa.array(times, pa.timestamp("us", tz="UTC")))


def test_days_that_differ_as_the_references_own_do_raise_no_alarm() -> None:
    name = "pca_reconstruction"
    level, new = 0.02, 30
    alarms = independent = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        days = [day(rng, i) for i in range(30)]
        reference = pa.concat_tables(days)
        null = multivariate.fit_null(METHODS[name], reference, DAY, 1_000, 0.0, windows=days)
        assert null.null.basis in {"windows", "sampling"}
        for i in range(new):
            verdict = judge(name, day(rng, 100 + i), reference, null, level)
            assert not verdict.provisional
            alarms += verdict.status == "alarm"
            assert verdict.effect is not None
            independent += stats.chi2.sf(verdict.effect**2 * null.null.scale, 1) <= level
    assert alarms <= stats.binom.ppf(0.999, 4 * new, 2 * level)
    assert independent > alarms  # rows taken for independent cry wolf


def test_a_classifier_is_judged_by_the_references_own_days_too() -> None:
    rng = np.random.default_rng(3)
    days = [day(rng, i, n=60) for i in range(10)]
    reference = pa.concat_tables(days)
    null = multivariate.fit_null(
        METHODS["domain_classifier"], reference, DAY, 300, 0.0, windows=days
    )
    assert (null.null.basis, null.rows) == ("windows", 60)
    verdict = judge("domain_classifier", day(rng, 50, n=60), reference, null, level=1e-4)
    assert verdict.status == "not_calibrated"
    assert "not attainable, at best" in verdict.detail


@both_methods
def test_odd_samples(name: str) -> None:
    rng = np.random.default_rng(0)
    reference = rows(rng, 200)
    null = multivariate.fit_null(METHODS[name], reference, DAY, 200, 0.1)
    assert judge(name, reference.slice(0, 0), reference, null, None).status == "insufficient"
    assert judge(name, reference.slice(0, 1), reference, null, None).status == "insufficient"
    odd = pa.table(
        {
            "x0": pa.nulls(100, pa.float64()),
            "x1": np.full(100, np.inf),
            "x2": np.ones(100),
            "text": ["new"] * 100,
            "score": [float("nan"), *np.ones(99)],
        }
    )
    huge = rows(rng, 100).set_column(0, "x0", pa.array([1e308, -1e308] * 50))
    some = rows(rng, 100)
    pairs = [(one, reference) for one in (odd, odd.select(["x2"]), some.select(["text"]), huge)]
    for current, before in (*pairs, (some, huge)):
        verdict = judge(name, current, before, null, None)
        assert verdict.status == "shown"
        assert verdict.p_value is not None
        assert 0 <= verdict.p_value <= 1


@both_methods
def test_the_same_samples_give_the_same_verdict_and_stay_as_they_are(name: str) -> None:
    rng = np.random.default_rng(0)
    reference, current = rows(rng, 200), rows(rng, 150)
    before = current.to_pydict()
    null = multivariate.fit_null(METHODS[name], reference, DAY, 200, 0.1)
    assert judge(name, current, reference, null, 0.01) == judge(
        name, current, reference, null, 0.01
    )
    assert current.to_pydict() == before
