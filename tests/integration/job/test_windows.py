"""Feature queries over event time in a real job: late, idle, pending, and equal to training."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.audit import audit
from driftline.streaming.history.history import features_of_history, left_out
from tests.integration.job import failing, feed
from tests.integration.job.conftest import World
from tests.integration.job.running import Running, proof, rows, wait_for

MODEL = "windows"
ON_TIME = 3_000
SPACING = 5_000  # milliseconds of event time
LATE = 40
IDLE_SECONDS = 5
PARTITIONS = 3  # the last one stays idle
TOPICS = ("events", "scored", "labels")
TABLE = f"driftline.prediction_{MODEL}"
QUERY = """\
SELECT *,
  COUNT(*) OVER last_hour AS n_1h,
  AVG(amount) OVER last_hour AS mean_1h,
  MAX(card) OVER last_hour AS card_1h,
  items < 4 AS keep
FROM events
WINDOW last_hour AS (PARTITION BY country ORDER BY event_time
  RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)
"""


def event(name: str, number: int) -> dict[str, Any]:
    """An event drawn at random, up to half a minute out of order when sent by number."""
    draw = random.Random(f"{name}{number}")  # noqa: S311
    return {
        "id": f"{name}{number}",
        "at": feed.START + number * SPACING + draw.randrange(30_000),
        "amount": None if draw.random() < 0.03 else float(draw.randrange(83)),
        "items": draw.randrange(5),
        "country": draw.choice(("de", "fr", "it")),
        # whole numbers that no float holds, seldom enough to be missing in many windows
        "card": draw.randrange(2**62, 2**63) if draw.random() < 0.003 else None,
    }


def is_beside(number: int) -> bool:
    """Whether a message that the decoder rejects follows an event: it counts in no window."""
    return random.Random(f"beside{number}").random() < 0.01  # noqa: S311


def comes_twice(number: int) -> bool:
    """Whether an event is sent again: both copies count in windows."""
    return random.Random(f"twice{number}").random() < 0.01  # noqa: S311


def fails(record: dict[str, Any]) -> bool:
    """Whether the transform rejects an event; it counts in windows nevertheless."""
    return bool(record["amount"] == failing.FAILS)


def is_filtered(record: dict[str, Any]) -> bool:
    """Whether the query's `keep` leaves an event out; it counts in windows nevertheless."""
    return record["items"] == 4 and not fails(record)


def with_copies(end: int) -> list[dict[str, Any]]:
    """The events of [0, end), those that come twice as often."""
    numbers = [number for number in range(end) for _ in range(1 + comes_twice(number))]
    return [event("e", number) for number in numbers]


def stream(first: int, end: int) -> Iterator[bytes]:
    """The events of [first, end), with what comes beside them."""
    for number in range(first, end):
        yield as_json(event("e", number))
        if is_beside(number):
            yield as_json(event("rejected", number) | {"amount": "5.50"})
        if comes_twice(number):
            yield as_json(event("e", number))


def label(number: int, value: object, hours: int = 2) -> bytes:
    time = feed.START + number * SPACING + hours * 3_600_000
    return json.dumps({"event_id": f"e{number}", "label": value, "time": time}).encode()


LABELS = [
    *(label(number, number % 2) for number in range(500)),
    label(7, 1),  # says the same again
    label(7, 0),  # of the same event and time: the first stays
    label(8, 1, hours=3),  # a correction
    label(9, "maybe"),
    label(9, None),
    b"nothing",
    label(10, 1, hours=10 * 365 * 24),
]


def test_windows_labels_and_the_audit(world: World, tmp_path: Path) -> None:
    path = world.write(MODEL, section(world), parallelism=2)
    kafka = world.config.local_kafka()
    topics = {kind: world.topic(MODEL, kind) for kind in TOPICS}
    feed.make_topics(kafka, topics.values(), PARTITIONS)
    late = [event("late", number) | {"amount": 1.0} for number in range(LATE)]
    late_first = [event("late first", number) | {"amount": 1.0} for number in range(LATE)]
    broken = [b"{}", b"oops", as_json(event("e", 0) | {"at": "noon"})]
    half = ON_TIME // 2
    feed.produce(kafka, topics["events"], stream(0, half))
    with Running(path, MODEL) as job:
        job.wait_until_settled(half // 2)
    # stopped with a savepoint: the windows go on where they were, and know what they have given,
    # though the new job knows no watermark yet
    feed.produce(kafka, topics["events"], map(as_json, late_first))
    with Running(path, MODEL) as job:
        feed.produce(kafka, topics["events"], stream(half, ON_TIME))
        feed.produce(kafka, topics["labels"], LABELS)
        # settled although a partition is idle: the watermark has moved
        job.wait_until_settled(half + half // 2 + LATE + len(LABELS))
        feed.produce(kafka, topics["events"], map(as_json, late))
        feed.produce(kafka, topics["events"], broken)
        wait_for(lambda: rows(job.config, LATE_ROWS) == [(2 * LATE,)], "the late rows")
        rejected = len(broken) + sum(map(is_beside, range(ON_TIME)))
        wait_for(lambda: job.progress().rejected >= rejected, "the broken ones")
        waiting = wait_for(lambda: _steady(job), "only the tail to wait")
        assert waiting.ok, waiting.differences
        assert 0 < waiting.events.pending < 100  # within the minute that may be out of order
        sent = after_silences(job, topics["events"])
        job.drain()
    on_time = with_copies(sent)
    undecoded = len(broken) + sum(map(is_beside, range(sent)))
    logged = [record for record in on_time if not fails(record) and not is_filtered(record)]
    report = proof(job.config, MODEL)
    assert report.events.read == len(on_time) + 2 * LATE + undecoded
    assert report.events.logged == len({record["id"] for record in logged}) + 2 * LATE
    assert report.events.duplicate == len(logged) - len({record["id"] for record in logged})
    assert report.events.filtered == sum(map(is_filtered, on_time))
    assert report.events.rejected == undecoded + sum(map(fails, on_time))
    the_late_have_no_windows(world)
    labels_are_there_once(world, report.labels)
    windows_equal_history(world, path, sent, tmp_path)
    windows_hold_what_they_should(world, on_time)


def after_silences(job: Running, topic: str) -> int:
    """Events after all partitions were silent, which wake in either order; gives how many are sent.

    What has waited in the windows meanwhile is in time.
    """
    kafka = job.config.local_kafka()
    for silence, partition in enumerate((1, 0)):
        time.sleep(IDLE_SECONDS + 1)
        first = ON_TIME + 40 * silence
        # the one that speaks first moves event time, and closes windows
        settled = job.progress().events + job.progress().labels
        feed.produce(kafka, topic, stream(first, first + 20), only=partition)
        job.wait_until_settled(settled + 1)  # of what has waited
        feed.produce(kafka, topic, stream(first + 20, first + 40), only=1 - partition)
        wait_for(lambda: _steady(job), "only the tail to wait")
    return ON_TIME + 80


LATE_ROWS = f"SELECT count(*) FROM {TABLE} WHERE late"


def section(
    world: World, model: str = MODEL, idle_timeout: str = f"{IDLE_SECONDS} s"
) -> dict[str, Any]:
    accept = {"since": "2024-01-01", "until": "2024-12-31"}
    section = world.section(
        model,
        features={
            "transform": f"{failing.__name__}:transform",
            "sql": {
                "query": QUERY,
                "columns": {"n_1h": "int", "mean_1h": "float", "card_1h": "int", "keep": "bool"},
                "out_of_order": "1 min",
                "idle_timeout": idle_timeout,
            },
        },
        labels={
            "topic": world.topic(model, "labels"),
            "type": "int",
            "time_format": "epoch_ms",
            "accept": accept,
        },
    )
    section["input"]["fields"]["card"] = "int"
    return section


def as_json(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode()


def _steady(job: Running) -> Any:
    """The audit, when two looks at a distance show the same."""
    first = job.progress()
    report = audit(job.config, MODEL)
    return report if job.progress() == first and report.events.pending < 100 else None


def the_late_have_no_windows(world: World) -> None:
    stored = rows(
        world.config,
        f"""SELECT event_id LIKE 'late%%', late, n_1h IS NULL, mean_1h IS NULL, count(*)
              FROM {TABLE} GROUP BY 1, 2, 3, 4 ORDER BY 1, 4""",
    )
    logged = [row for row in stored if row[0]]
    assert logged == [(True, True, True, True, 2 * LATE)]
    assert {(row[1], row[2]) for row in stored if not row[0]} == {(False, False)}


def labels_are_there_once(world: World, counts: Any) -> None:
    assert (counts.logged, counts.duplicate, counts.rejected) == (501, 2, 4)
    query = "SELECT event_id, label FROM driftline.label WHERE model = %s AND event_id = ANY(%s)"
    stored = rows(world.config, f"{query} ORDER BY event_id, label_time", MODEL, ["e7", "e8"])
    assert stored == [("e7", 1.0), ("e8", 0.0), ("e8", 1.0)]


def windows_equal_history(world: World, path: Path, sent: int, folder: Path) -> None:
    """The same events as history give the very same features."""
    lines = folder / "history.jsonl"
    unreadable = [b"\xef\xbb\xbf" + as_json(event("e", 0)), b"", b"oops"]
    lines.write_bytes(b"\n".join([*unreadable, *stream(0, sent)]) + b"\n")
    config = Running(path, MODEL).config
    features = features_of_history(path, config, MODEL, lines, folder / "features.parquet")
    counts = {left_out_lines.reason: left_out_lines.lines for left_out_lines in left_out(features)}
    events = with_copies(sent)
    assert counts == {
        "filtered": sum(map(is_filtered, events)),
        "wrong_type": sum(map(is_beside, range(sent))),
        "transform_failed": sum(map(fails, events)),
        "malformed_json": 2,
        "empty": 1,
    }
    columns = ["event_id", "amount", "items", "country", "card", "n_1h", "mean_1h", "card_1h"]
    chosen = ", ".join(columns)
    stored = rows(world.config, f"SELECT {chosen} FROM {TABLE} WHERE NOT late ORDER BY event_id")
    served = pa.Table.from_pylist(
        [dict(zip(columns, row, strict=True)) for row in stored],
        schema=pa.schema([features.schema.field(name) for name in columns]),
    )
    # both copies of an event are rows of history, with the same features
    distinct = {tuple(row.values()): row for row in features.select(columns).to_pylist()}
    assert len(distinct) == len({row["event_id"] for row in distinct.values()}) < features.num_rows
    trained = pa.Table.from_pylist(list(distinct.values()), schema=served.schema)
    trained = trained.sort_by("event_id")
    assert served.drop_columns(["mean_1h"]).equals(trained.drop_columns(["mean_1h"]))
    ours, theirs = (table["mean_1h"].to_numpy() for table in (served, trained))
    # a sum that is kept by adding and taking off depends on the order of equal times
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, equal_nan=True)


def windows_hold_what_they_should(world: World, on_time: list[dict[str, Any]]) -> None:
    """Each event counts once, none that was rejected does; whole numbers are exact."""
    stored = rows(world.config, f"SELECT event_id, card, n_1h, card_1h FROM {TABLE} WHERE NOT late")
    assert {name: card for name, card, *_ in stored if card is not None} == {
        record["id"]: record["card"]
        for record in on_time
        if record["card"] is not None and record["items"] < 4 and not fails(record)
    }
    times = np.array([record["at"] for record in on_time])
    countries = np.array([record["country"] for record in on_time])
    cards = [record["card"] for record in on_time]
    windows = {name: window for name, _, *window in stored}
    for record in on_time:
        hour = (times <= record["at"]) & (times >= record["at"] - 3_600_000)
        within = np.flatnonzero(hour & (countries == record["country"]))
        most = max((cards[i] for i in within if cards[i] is not None), default=None)
        assert (
            record["items"] == 4 or fails(record) or windows[record["id"]] == [len(within), most]
        ), record


@pytest.mark.long
@pytest.mark.parametrize(("partitions", "parallelism"), [(1, 1), (2, 1), (2, 2)])
def test_after_a_silence_of_all_partitions_nothing_is_late(
    world: World, partitions: int, parallelism: int
) -> None:
    """The events that wait when a stream falls silent, three times, whichever partition wakes."""
    model = f"silent{partitions}{parallelism}"
    path = world.write(model, section(world, model, idle_timeout="2 s"), parallelism=parallelism)
    kafka, topic = world.config.local_kafka(), world.topic(model, "events")
    feed.make_topics(kafka, [world.topic(model, kind) for kind in TOPICS], partitions)
    sent = 200
    feed.produce(kafka, topic, stream(0, sent), partitions)
    with Running(path, model) as job:
        job.wait_until_settled(sent - 60)
        for silence in range(3):
            time.sleep(4)
            feed.produce(kafka, topic, stream(sent, sent + 1), only=silence % partitions)
            time.sleep(2)
            feed.produce(kafka, topic, stream(sent + 1, sent + 20), partitions)
            sent += 20
            job.wait_until_settled(sent - 60)
        job.drain()
    report = proof(job.config, model)
    # a late event is kept, whatever the query says
    assert report.events.filtered == sum(map(is_filtered, with_copies(sent)))
    late = rows(job.config, f"SELECT count(*) FROM driftline.prediction_{model} WHERE late")
    assert late == [(0,)]


@pytest.mark.long
def test_bursts_after_pauses_lose_nothing(world: World) -> None:
    """After a pause the readers wake at different moments: some rows overtake the watermark."""
    model = "bursts"
    path = world.write(model, section(world, model, idle_timeout="100 ms"), parallelism=2)
    world.make_topics(model, TOPICS)
    kafka, topic = world.config.local_kafka(), world.topic(model, "events")
    sent = 0
    with Running(path, model) as job:
        for size in [2_000] * 15:
            events = (event("e", number) for number in range(sent, sent + size))
            feed.produce(kafka, topic, map(as_json, events))
            sent += size
            time.sleep(1)
        job.wait_until_settled(sent - 100)
        job.drain()
    report = proof(job.config, model)
    assert report.events.read == sent
