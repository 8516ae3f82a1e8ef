"""Volume does not learn from a change, and its verdicts do not depend on the order of windows."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.monitors.stream.seasonal_volume import SeasonalVolume
from driftline.storage.monitoring.accepted_levels import AcceptedLevel
from driftline.storage.monitoring.verdicts import WindowVerdict

DAY = timedelta(days=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
SEASONAL = SeasonalVolume(DAY, DAY, 28 * DAY, 0.05 / 7)

Verdicts = dict[datetime, WindowVerdict]


def stream(*parts: tuple[int, float], seed: int = 0) -> dict[datetime, int]:
    """Days of some mean number of events, one part after another."""
    rng = np.random.default_rng(seed)
    counts = [int(n) for days, mean in parts for n in rng.poisson(mean, days)]
    return {START + i * DAY: n for i, n in enumerate(counts)}


def in_order(seasonal: SeasonalVolume, rows: Mapping[datetime, int]) -> Verdicts:
    """The verdicts of the windows, judged one by one in order."""
    stored_verdicts: Verdicts = {}
    for end in rows:
        judge(seasonal, {at: n for at, n in rows.items() if at <= end}, stored_verdicts, {end})
    return stored_verdicts


def judge(
    seasonal: SeasonalVolume,
    rows: Mapping[datetime, int],
    stored_verdicts: Verdicts,
    fresh: set[datetime],
) -> None:
    actual = seasonal.judge(rows, stored_verdicts, fresh)
    stored_verdicts.update(
        {
            end: WindowVerdict(item.status, item.threshold, item.detail)
            for end, item in actual.items()
        }
    )


def statuses(stored_verdicts: Verdicts) -> list[str]:
    return [item.status for _, item in sorted(stored_verdicts.items())]


def test_a_new_level_alarms_until_it_has_lasted_and_is_then_what_is_usual() -> None:
    """165 events a day for months, then 1,728: five days did to make that usual."""
    actual = statuses(in_order(SEASONAL, stream((100, 165), (40, 1_728), (5, 165))))
    assert actual[:100].count("alarm") <= 2
    assert actual[100:129] == ["alarm"] * 29
    assert actual[129:140].count("alarm") <= 1
    assert actual[140:] == ["alarm"] * 5  # the fall back is seen


def test_a_change_that_ends_is_forgotten() -> None:
    actual = statuses(in_order(SEASONAL, stream((60, 165), (10, 1_728), (40, 165), (5, 1_728))))
    assert actual[60:70] == ["alarm"] * 10
    assert actual[70:110].count("alarm") <= 1
    assert actual[110:] == ["alarm"] * 5


def test_an_outage_does_not_hide_the_next_one() -> None:
    rows = stream((60, 1_000), (1, 0), (5, 1_000), (1, 0), (20, 1_000), (2, 500))
    actual = statuses(in_order(SEASONAL, rows))
    assert [actual[60], actual[66], *actual[87:]] == ["alarm"] * 4


def test_a_fall_during_a_change_is_seen() -> None:
    actual = statuses(in_order(SEASONAL, stream((60, 1_000), (20, 2_000), (3, 0))))
    assert actual[60:] == ["alarm"] * 23


def test_a_level_that_was_accepted_is_usual_at_once() -> None:
    level = AcceptedLevel(START + 99 * DAY, START + 107 * DAY)
    accepted = SeasonalVolume(DAY, DAY, 28 * DAY, 0.05 / 7, (level,))
    actual = statuses(in_order(accepted, stream((100, 165), (30, 1_728), (5, 165))))
    assert actual[100:108] == ["alarm"] * 8  # before it was accepted
    assert actual[108:130].count("alarm") <= 1
    assert actual[130:] == ["alarm"] * 5


def test_after_it_is_accepted_days_are_learned_anew() -> None:
    level = AcceptedLevel(START + 99 * DAY, START + 101 * DAY)
    accepted = SeasonalVolume(DAY, DAY, 28 * DAY, 0.05 / 7, (level,))
    actual = in_order(accepted, stream((100, 165), (10, 1_728)))
    assert "learning, 2 of 7 earlier days" in actual[START + 102 * DAY].detail
    assert actual[START + 109 * DAY].status == "ok"


def test_an_odd_first_day_is_not_learned_from() -> None:
    rows = stream((3, 1_000), (1, 20_000), (20, 1_000), (1, 3_000))
    assert statuses(in_order(SEASONAL, rows))[-1] == "alarm"


@settings(max_examples=8)
@given(
    st.lists(st.sampled_from([0, 100, 110, 1_000]), min_size=20, max_size=110),
    st.randoms(use_true_random=False),
)
def test_the_order_of_looks_does_not_matter(counts: list[int], random: object) -> None:
    """Windows in any order, some with fewer rows at first, as with late events."""
    rows = {START + i * DAY: n for i, n in enumerate(counts)}
    stored_verdicts: Verdicts = {}
    existing: dict[datetime, int] = {}
    ends = list(rows) * 2
    random.shuffle(ends)  # type: ignore[attr-defined]
    while ends:
        some, ends = ends[:7], ends[7:]
        for end in some:
            existing[end] = rows[end] if end in existing else rows[end] // 2
        judge(SEASONAL, dict(sorted(existing.items())), stored_verdicts, set(some))
    assert stored_verdicts == in_order(SEASONAL, rows)


def test_what_is_left_out_costs_few_false_alarms() -> None:
    """Without the days that alarmed, the others seem slightly calmer than they are."""
    level = 0.01
    seasonal = SeasonalVolume(DAY, DAY, 28 * DAY, level)
    actual = [
        status
        for seed in range(15)
        for status in statuses(in_order(seasonal, stream((150, 400), seed=seed)))[40:]
    ]
    assert actual.count("alarm") <= 1.25 * level * len(actual) + 3 * np.sqrt(level * len(actual))
