"""Compaction keeps every count, and no reader ever sees one twice or not at all."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from driftline.audit import audit
from driftline.profile.profile import Profile
from driftline.storage import locks
from driftline.storage.connection import connect
from driftline.storage.log import compaction
from driftline.storage.profiles import profile_rows

MODEL = "fraud"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
EVER_AFTER = datetime(2100, 1, 1, tzinfo=UTC)


def spread(world: Any, *ages: timedelta, n: int = 12) -> None:
    """Log some batches, one at each age before 1 May 2024; each covers two minutes."""
    for age in ages:
        start = datetime(2024, 5, 1, 12, tzinfo=UTC) - age
        events = [
            {**event, "event_time": start + timedelta(seconds=10 * i)}
            for i, event in enumerate(world.events(n))
        ]
        world.log(events, world.produce_events(events))


def total(world: Any) -> Profile:
    with connect(world.config.postgres, "read") as connection:
        return profile_rows.window(connection, MODEL, world.binning, LONG_AGO, EVER_AFTER)


def compact(world: Any, **options: Any) -> profile_rows.Compacted:
    with connect(world.config.postgres, "write", autocommit=True) as connection:
        return profile_rows.compact(connection, MODEL, **options)


def spans(world: Any) -> list[tuple[int, int]]:
    rows: list[tuple[int, int]] = world.sql(
        "SELECT span_minutes, count(*) FROM driftline.profile GROUP BY 1 ORDER BY 1"
    )
    return rows


def test_rows_are_merged_by_age_and_every_count_stays(world: Any) -> None:
    hour, day = timedelta(hours=1), timedelta(days=1)
    # twice the same minutes; then three hours of one day; then three days
    spread(world, 0 * hour, 0 * hour, 60 * hour, 61 * hour, 62 * hour, 95 * day, 96 * day)
    before = total(world)
    assert before.rows == 7 * 12
    done = compact(world)
    assert (done.rows_before, done.rows_after) == (14, 7)
    assert spans(world) == [(1, 2), (60, 3), (1440, 2)]
    assert total(world) == before
    assert compact(world) == profile_rows.Compacted(0, 0)
    report = audit(world.config, MODEL, deep=True, complete=True)
    assert report.ok, report.to_json()


def test_parts_of_hours_are_kept_for_as_long_as_they_are_wanted(world: Any) -> None:
    hour, day = timedelta(hours=1), timedelta(days=1)
    spread(world, 0 * hour, 60 * hour, 61 * hour, 5 * day, 95 * day)
    before = total(world)
    compact(world, minutes=5, hours_after=4 * day)
    assert spans(world) == [(1, 2), (5, 2), (60, 1), (1440, 1)]
    assert total(world) == before
    report = audit(world.config, MODEL, deep=True, complete=True)
    assert report.ok, report.to_json()
    compact(world, minutes=15, hours_after=4 * day)
    assert spans(world) == [(1, 2), (15, 2), (60, 1), (1440, 1)]
    compact(world, minutes=10, hours_after=4 * day)  # other windows: 10 minutes are no part of 15
    assert spans(world) == [(1, 2), (15, 2), (60, 1), (1440, 1)]
    spread(world, 60 * hour)
    compact(world, minutes=10, hours_after=4 * day)
    compact(world, minutes=15, hours_after=4 * day)
    assert (10, 1) in spans(world)
    before = total(world)
    compact(world, minutes=5, hours_after=200 * day)  # never longer than hours are
    compact(world)
    assert spans(world) == [(1, 2), (60, 3), (1440, 1)]
    assert total(world) == before
    report = audit(world.config, MODEL, deep=True, complete=True)
    assert report.ok, report.to_json()


def test_late_rows_join_the_hour_that_is_there(world: Any) -> None:
    old = timedelta(days=10)
    spread(world, timedelta(0), old)
    compact(world)
    spread(world, old, old + timedelta(minutes=10))
    before = total(world)
    with connect(world.config.postgres, "read") as connection:
        start = datetime(2024, 4, 21, 12, tzinfo=UTC)
        rows = profile_rows.read(connection, MODEL, start, start + timedelta(minutes=1))
    assert [row.span_minutes for row in rows] == [60, 1]  # the hour is whole, beside what is new
    report = audit(world.config, MODEL, deep=True, complete=True)
    assert report.ok, report.to_json()
    compact(world)
    assert total(world) == before
    assert (60, 2) in spans(world)  # 12:00 and, ten minutes before it, 11:00


def test_a_window_has_its_own_rows_only(world: Any) -> None:
    spread(world, timedelta(0), timedelta(hours=1))
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    with connect(world.config.postgres, "read") as connection:

        def rows(since: datetime, until: datetime, **which: Any) -> int:
            found = profile_rows.read(connection, MODEL, since, until, **which)
            return sum(row.rows for row in found)

        minute = timedelta(minutes=1)
        assert rows(noon, noon + minute) == 6
        assert rows(noon, noon + 2 * minute) == 12
        assert rows(noon - minute, noon) == 0
        assert rows(LONG_AGO, EVER_AFTER) == 24
        assert rows(LONG_AGO, EVER_AFTER, version=2) == 0
        assert rows(LONG_AGO, EVER_AFTER, role="shadow") == 0
        assert rows(LONG_AGO, EVER_AFTER, segment="country=de") == 0


def test_the_open_minute_is_left_alone(world: Any) -> None:
    spread(world, timedelta(0), timedelta(0))
    done = compact(world, now=datetime(2024, 5, 1, 12, 1, 30, tzinfo=UTC))
    assert (done.rows_before, done.rows_after) == (2, 1)
    assert spans(world) == [(1, 3)]


def test_a_second_compaction_leaves_it_to_the_first(world: Any) -> None:
    spread(world, timedelta(0), timedelta(0))
    with (
        connect(world.config.postgres, "write") as other,
        locks.transaction(other, "compact profiles", MODEL),
    ):
        assert compact(world) == profile_rows.Compacted(0, 0)
    assert compact(world).rows_before == 4


def test_nothing_is_compacted_for_a_model_without_profiles(world: Any) -> None:
    assert compact(world) == profile_rows.Compacted(0, 0)


def test_readers_and_writers_beside_compactions_see_every_count_once(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_rows, "_ROWS_AT_ONCE", 5)  # many small transactions
    spread(world, *(timedelta(minutes=7 * i) for i in range(30)))
    logged = [30 * 12]
    stop = threading.Event()
    errors: list[object] = []

    def reading() -> None:
        while not stop.is_set():
            low = logged[0]
            found = total(world).rows
            high = logged[0] + 12  # a batch is visible before it is counted here
            if not low <= found <= high:
                errors.append((low, found, high))

    def compacting() -> None:
        while not stop.is_set():
            compact(world, now=EVER_AFTER)

    def guarded(work: Any) -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [
        threading.Thread(target=guarded, args=(work,)) for work in (reading, compacting, compacting)
    ]
    for thread in threads:
        thread.start()
    for i in range(40):
        spread(world, timedelta(minutes=7 * (i % 30)))
        logged[0] += 12
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    compact(world, now=EVER_AFTER)
    assert spans(world) == [(1440, 1)]
    report = audit(world.config, MODEL, deep=True, complete=True)
    assert report.ok, report.to_json()
    assert report.profiled == 70 * 12


def compact_ledger(world: Any, settled: timedelta) -> int:
    with connect(world.config.postgres, "write", autocommit=True) as connection:
        return compaction.compact(connection, MODEL, settled)


def ledger_rows(world: Any) -> int:
    ((count,),) = world.sql("SELECT count(*) FROM driftline.ledger")
    return int(count)


def test_the_ledger_becomes_one_row_a_source_and_day(world: Any) -> None:
    for i in range(6):
        world.feed(20, partition=i % 2, rejected=2, filtered=1)
    assert compact_ledger(world, timedelta(hours=1)) == 0  # young rows stay
    assert compact_ledger(world, timedelta(0)) in {2, 3, 4}  # more around midnight
    assert compact_ledger(world, timedelta(0)) == 0
    assert ledger_rows(world) in {2, 3, 4}
    report = audit(world.config, MODEL, complete=True)
    assert report.ok, report.to_json()
    assert (report.events.read, report.events.rejected, report.events.filtered) == (120, 12, 6)


def test_a_fault_in_the_ledger_is_not_compacted_away(world: Any) -> None:
    world.feed(20)
    world.feed(20)
    world.sql("INSERT INTO driftline.ledger SELECT * FROM driftline.ledger WHERE first_offset = 0")
    assert compact_ledger(world, timedelta(0)) == 0
    assert ledger_rows(world) == 3
    found = audit(world.config, MODEL, complete=True).differences
    assert [one.kind for one in found] == ["counted twice"]


def test_writers_beside_a_ledger_compaction_settle_each_offset_once(world: Any) -> None:
    stop = threading.Event()
    errors: list[object] = []

    def compacting() -> None:
        try:
            while not stop.is_set():
                compact_ledger(world, timedelta(0))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=compacting)
    thread.start()
    for _ in range(20):
        events = world.events(10)
        offsets = world.produce_events(events)
        for _ in range(2):  # the second time they are settled, and nothing is added
            world.log(events, offsets, publish=False)
    stop.set()
    thread.join()
    assert errors == []
    report = audit(world.config, MODEL)
    assert report.ok, report.to_json()
    assert (report.events.logged, report.profiled) == (200, 200)
