"""Volume does not learn from what it alarmed on, and says the same in whatever order it looks."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.monitors.stream.seasonal_volume import Rhythm
from driftline.storage.monitoring.accepted_levels import Level
from driftline.storage.monitoring.verdicts import Known

DAY = timedelta(days=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
RHYTHM = Rhythm(DAY, DAY, 28 * DAY, 0.05 / 7)

Said = dict[datetime, Known]


def stream(*parts: tuple[int, float], seed: int = 0) -> dict[datetime, int]:
    """Days of some mean number of events, one part after another."""
    rng = np.random.default_rng(seed)
    counts = [int(n) for days, mean in parts for n in rng.poisson(mean, days)]
    return {START + i * DAY: n for i, n in enumerate(counts)}


def in_order(rhythm: Rhythm, rows: Mapping[datetime, int]) -> Said:
    """What is said of the windows as they come, one by one."""
    said: Said = {}
    for end in rows:
        judge(rhythm, {at: n for at, n in rows.items() if at <= end}, said, {end})
    return said


def judge(rhythm: Rhythm, rows: Mapping[datetime, int], said: Said, fresh: set[datetime]) -> None:
    found = rhythm.judge(rows, said, fresh)
    said.update({end: Known(one.status, one.threshold, one.detail) for end, one in found.items()})


def statuses(said: Said) -> list[str]:
    return [one.status for _, one in sorted(said.items())]


def test_a_new_level_alarms_until_it_has_lasted_and_is_then_what_is_usual() -> None:
    """165 events a day for months, then 1,728: five days did to make that usual."""
    found = statuses(in_order(RHYTHM, stream((100, 165), (40, 1_728), (5, 165))))
    assert found[:100].count("alarm") <= 2
    assert found[100:129] == ["alarm"] * 29
    assert found[129:140].count("alarm") <= 1
    assert found[140:] == ["alarm"] * 5  # the fall back is seen


def test_a_change_that_ends_is_forgotten() -> None:
    found = statuses(in_order(RHYTHM, stream((60, 165), (10, 1_728), (40, 165), (5, 1_728))))
    assert found[60:70] == ["alarm"] * 10
    assert found[70:110].count("alarm") <= 1
    assert found[110:] == ["alarm"] * 5


def test_an_outage_does_not_hide_the_next_one() -> None:
    rows = stream((60, 1_000), (1, 0), (5, 1_000), (1, 0), (20, 1_000), (2, 500))
    found = statuses(in_order(RHYTHM, rows))
    assert [found[60], found[66], *found[87:]] == ["alarm"] * 4


def test_a_fall_during_a_change_is_seen() -> None:
    found = statuses(in_order(RHYTHM, stream((60, 1_000), (20, 2_000), (3, 0))))
    assert found[60:] == ["alarm"] * 23


def test_a_level_that_was_accepted_is_usual_at_once() -> None:
    level = Level(START + 99 * DAY, START + 107 * DAY)
    accepted = Rhythm(DAY, DAY, 28 * DAY, 0.05 / 7, (level,))
    found = statuses(in_order(accepted, stream((100, 165), (30, 1_728), (5, 165))))
    assert found[100:108] == ["alarm"] * 8  # before it was accepted
    assert found[108:130].count("alarm") <= 1
    assert found[130:] == ["alarm"] * 5


def test_after_it_is_accepted_days_are_learned_anew() -> None:
    level = Level(START + 99 * DAY, START + 101 * DAY)
    accepted = Rhythm(DAY, DAY, 28 * DAY, 0.05 / 7, (level,))
    found = in_order(accepted, stream((100, 165), (10, 1_728)))
    assert "learning, 2 of 7 earlier days" in found[START + 102 * DAY].detail
    assert found[START + 109 * DAY].status == "ok"


def test_an_odd_first_day_is_not_learned_from() -> None:
    rows = stream((3, 1_000), (1, 20_000), (20, 1_000), (1, 3_000))
    assert statuses(in_order(RHYTHM, rows))[-1] == "alarm"


@settings(max_examples=8)
@given(
    st.lists(st.sampled_from([0, 100, 110, 1_000]), min_size=20, max_size=110),
    st.randoms(use_true_random=False),
)
def test_the_order_of_looks_does_not_matter(counts: list[int], random: object) -> None:
    """Windows come in any order, some with fewer rows at first, as late events come."""
    rows = {START + i * DAY: n for i, n in enumerate(counts)}
    said: Said = {}
    there: dict[datetime, int] = {}
    ends = list(rows) * 2
    random.shuffle(ends)  # type: ignore[attr-defined]
    while ends:
        some, ends = ends[:7], ends[7:]
        for end in some:
            there[end] = rows[end] if end in there else rows[end] // 2
        judge(RHYTHM, dict(sorted(there.items())), said, set(some))
    assert said == in_order(RHYTHM, rows)


def test_what_is_left_out_costs_few_false_alarms() -> None:
    """Without the days that alarmed the others look calmer than they are: by little."""
    level = 0.01
    rhythm = Rhythm(DAY, DAY, 28 * DAY, level)
    found = [
        status
        for seed in range(15)
        for status in statuses(in_order(rhythm, stream((150, 400), seed=seed)))[40:]
    ]
    assert found.count("alarm") <= 1.25 * level * len(found) + 3 * np.sqrt(level * len(found))
