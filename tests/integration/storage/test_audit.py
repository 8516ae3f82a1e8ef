"""The audit proves what is right, and finds each fault that is planted."""

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from driftline.audit import AuditReport, audit
from driftline.errors import AuditError
from driftline.kafka.client_settings import librdkafka
from driftline.records import POSITION, REJECT
from driftline.storage.connection import connect
from driftline.storage.log.labels import LabelBatch, LabelWriter
from driftline.storage.profiles.hours import write_sums

MODEL = "fraud"


def check(world: Any, **options: Any) -> AuditReport:
    return audit(world.config, MODEL, **{"complete": True, **options})


def kinds(report: AuditReport) -> set[str]:
    return {one.kind for one in report.differences}


def offsets(report: AuditReport, kind: str) -> list[tuple[int, int]]:
    return [pair for one in report.differences if one.kind == kind for pair in one.offsets]


@pytest.fixture
def fed(world: Any) -> Any:
    """Two partitions: 300 and 200 events, some rejected, filtered, duplicate."""
    world.feed(300)
    world.feed(200, partition=1, rejected=7, filtered=3)
    again = [world.event(number) for number in range(5)]
    world.log(again, world.produce_events(again))
    return world


def test_all_agrees(fed: Any) -> None:
    report = check(fed, deep=True)
    assert report.ok, report.to_json()
    events = report.events
    assert (events.read, events.logged, events.duplicate) == (505, 490, 5)
    assert (events.rejected, events.filtered, events.pending) == (7, 3, 0)
    assert report.profiled == report.published == 490
    assert json.loads(report.to_json())["events"]["read"] == 505


def test_records_without_an_outcome_are_pending_until_the_stream_is_complete(fed: Any) -> None:
    (offset,) = fed.produce(fed.section.input.topic, [b"{}"])
    live = check(fed, complete=False)
    assert live.ok
    assert live.events.pending == 1
    report = check(fed)
    assert kinds(report) == {"missing"}
    assert offsets(report, "missing") == [(offset, offset)]


def test_a_gap_before_the_last_outcome_is_missing(fed: Any) -> None:
    (lost,) = fed.produce(fed.section.input.topic, [b"{}"])
    fed.feed(10)
    report = check(fed, complete=False)
    assert kinds(report) == {"missing"}
    assert offsets(report, "missing") == [(lost, lost)]


def test_a_record_of_a_partition_never_read_is_pending(world: Any) -> None:
    world.feed(10)
    world.produce(world.section.input.topic, [b"{}", b"{}"], partition=1)
    report = check(world, complete=False)
    assert report.ok
    assert report.events.pending == 2


def test_a_deleted_row_is_found(fed: Any) -> None:
    fed.sql("DELETE FROM driftline.prediction_fraud WHERE kafka_offset = 17 AND source = 1")
    report = check(fed)
    assert kinds(report) == {"logged lost", "profile", "not in the store"}
    assert offsets(report, "logged lost") == [(17, 17)]


@pytest.mark.parametrize("table", ["rejected", "duplicate"])
def test_a_deleted_reject_or_duplicate_is_found(fed: Any, table: str) -> None:
    ((offset,),) = fed.sql(
        f"DELETE FROM driftline.{table} WHERE kafka_offset ="
        f" (SELECT min(kafka_offset) FROM driftline.{table}) RETURNING kafka_offset"
    )
    report = check(fed)
    assert kinds(report) == {f"{table} lost"}
    assert any(a <= offset <= b for a, b in offsets(report, f"{table} lost"))
    assert sum(one.count for one in report.differences) == 1


def test_an_offset_that_the_ledger_lost_is_found(fed: Any) -> None:
    fed.sql(
        "UPDATE driftline.ledger SET offsets = offsets - '{[40,41)}', logged = logged - 1"
        " WHERE source = 1 AND first_offset <= 40 AND last_offset >= 40"
    )
    report = check(fed)
    assert kinds(report) == {"missing", "not in the ledger"}
    assert offsets(report, "missing") == offsets(report, "not in the ledger") == [(40, 40)]


def test_a_range_counted_twice_is_found(fed: Any) -> None:
    fed.sql("INSERT INTO driftline.ledger SELECT * FROM driftline.ledger WHERE source = 2")
    report = check(fed)
    assert kinds(report) == {"counted twice"}
    assert offsets(report, "counted twice") == [(0, 199)]


def test_a_wrong_count_is_found(fed: Any) -> None:
    fed.sql("UPDATE driftline.ledger SET filtered = filtered + 1 WHERE source = 2")
    report = check(fed)
    assert kinds(report) == {"miscounted"}
    assert "filtered 4; the rows are 190, 0, 7" in report.differences[0].detail


def test_an_outcome_of_the_wrong_kind_is_found(fed: Any) -> None:
    fed.sql(
        "UPDATE driftline.ledger SET filtered = filtered + 1, logged = logged - 1 WHERE source = 2"
    )
    assert kinds(check(fed)) == {"miscounted"}


def test_an_offset_that_is_in_no_topic_is_found(fed: Any) -> None:
    fed.sql(
        "UPDATE driftline.ledger SET offsets = offsets + '{[1000,1001)}', filtered = filtered + 1,"
        " last_offset = 1000 WHERE source = 2"
    )
    report = check(fed)
    assert kinds(report) == {"not in the topic"}
    assert offsets(report, "not in the topic") == [(1000, 1000)]


def test_a_row_logged_twice_is_found(fed: Any) -> None:
    fed.sql(
        "CREATE TEMP TABLE again AS SELECT * FROM driftline.prediction_fraud"
        " WHERE source = 1 AND kafka_offset = 5;"
        " UPDATE again SET event_id = event_id || '-again';"
        " INSERT INTO driftline.prediction_fraud SELECT * FROM again"
    )
    report = check(fed)
    assert kinds(report) == {"logged twice", "profile", "unpublished"}
    assert offsets(report, "logged twice") == [(5, 5)]


def test_two_outcomes_of_one_offset_are_found(fed: Any) -> None:
    fed.sql(
        "INSERT INTO driftline.rejected (source, kafka_offset, kafka_time, reason, detail)"
        " VALUES (1, 5, now(), 'x', 'y')"
    )
    report = check(fed)
    assert kinds(report) == {"two outcomes", "miscounted"}
    assert offsets(report, "two outcomes") == [(5, 5)]


def test_a_duplicate_of_nothing_is_found(fed: Any) -> None:
    fed.sql("UPDATE driftline.duplicate SET event_id = 'nobody' WHERE kafka_offset = 300")
    report = check(fed)
    assert kinds(report) == {"dangling duplicate"}
    assert offsets(report, "dangling duplicate") == [(300, 300)]


def test_a_wrong_profile_count_is_found_with_its_minute(fed: Any) -> None:
    fed.sql(
        "UPDATE driftline.profile SET rows = rows + 1"
        " WHERE bucket = '2024-03-01T00:05Z' AND segment = ''"
    )
    report = check(fed)
    assert kinds(report) == {"profile"}
    assert report.differences[0].detail == (
        "version 1, 2024-03-01 00:05 (1 min): profile 7, rows 6"
    )


def test_a_profile_of_a_time_without_rows_is_found(fed: Any) -> None:
    fed.sql(
        "INSERT INTO driftline.profile (bucket, model, span_minutes, version, role, segment,"
        " binning_id, rows, cells) SELECT '2001-01-01Z', model, span_minutes, version, role,"
        " segment, binning_id, rows, cells FROM driftline.profile LIMIT 1"
    )
    assert kinds(check(fed)) == {"profile"}


def test_a_wrong_cell_is_found_by_a_deep_audit_alone(fed: Any) -> None:
    fed.sql("UPDATE driftline.prediction_fraud SET amount = 39.5 WHERE kafka_offset = 3")
    assert check(fed).ok
    report = check(fed, deep=True)
    assert kinds(report) == {"profile cells"}
    assert report.differences[0].where == "served version 1, 2024-03-01"
    assert report.differences[0].detail == "columns amount have other counts than the rows"


@pytest.fixture
def split(world: Any) -> Any:
    """300 events, split by country, that a shadow has scored too; its hours are added up."""
    section = world.section.model_copy(update={"segments": ("country",)})
    world.config = world.config.model_copy(update={"models": {MODEL: section}})
    world.segments = ("country",)
    world.feed(300, shadow=2)
    hours = {
        row[0] for row in world.sql("SELECT date_trunc('hour', bucket) FROM driftline.profile")
    }
    with connect(world.config.postgres, "write") as connection:
        write_sums(connection, MODEL, sorted(hours))
    world.sql("DELETE FROM driftline.dirty_window")
    return world


def test_segments_shadows_and_hours_are_compared(split: Any) -> None:
    report = check(split, deep=True)
    assert report.ok, report.to_json()
    assert report.not_compared == (
        "the contents of rows, labels and rejected messages with those of the topics",
    )
    assert "by segment and of shadows" in check(split).not_compared[0]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (
            "DELETE FROM driftline.profile WHERE segment = 'country=de' AND role = 'served'",
            "served version 1, 2024-03-01, country=de",
        ),
        (
            "DELETE FROM driftline.profile WHERE segment = 'country=<other>' AND role = 'shadow'",
            "shadow version 2, 2024-03-01, country=<other>",
        ),
        (
            "DELETE FROM driftline.profile WHERE segment = '' AND role = 'shadow'"
            " AND bucket = '2024-03-01 00:03Z'",
            "shadow version 2, 2024-03-01",
        ),
        (
            "UPDATE driftline.shadow_fraud SET score = score / 2 WHERE kafka_offset = 3",
            "shadow version 2, 2024-03-01",
        ),
        (
            "UPDATE driftline.profile_hour SET rows = rows + 1 WHERE segment = 'country=fr'",
            "the hour of 2024-03-01 00:00",
        ),
        (
            "DELETE FROM driftline.profile_hour WHERE segment = 'country=fr'",
            "the hour of 2024-03-01 00:00",
        ),
    ],
)
def test_what_only_a_deep_audit_finds(split: Any, change: str, where: str) -> None:
    split.sql(change)
    assert check(split).ok
    report = check(split, deep=True)
    assert where in {one.where for one in report.differences}, report.to_json()
    assert kinds(report) <= {"profile cells", "hour sums"}


def test_a_column_that_splits_from_later_on_is_compared_from_the_next_day_on(world: Any) -> None:
    world.feed(100)
    section = world.section.model_copy(update={"segments": ("country",)})
    world.config = world.config.model_copy(update={"models": {MODEL: section}})
    world.segments = ("country",)
    world.feed(100)
    next(itertools.islice(world._numbers, 9_000, None))
    world.feed(100)
    assert check(world, deep=True).ok
    world.sql(
        "DELETE FROM driftline.profile"
        " WHERE segment = 'country=de' AND bucket > '2024-03-01 20:00Z'"
    )
    assert kinds(check(world, deep=True)) == {"profile cells"}


def test_a_prediction_published_twice_is_found(fed: Any) -> None:
    record = {"event_id": "e3", "event_time": "2024-03-01T00:00:30.000Z", "model": MODEL}
    value = json.dumps({**record, "model_version": 1, "score": 3 / 7 + 0.1, "outputs": None})
    fed.produce(fed.section.output.topic, [value.encode()], partition=1)
    report = check(fed)
    assert kinds(report) == {"published twice"}
    assert "'e3'" in report.differences[0].detail


def test_twice_is_right_when_at_least_once_was_promised(make_world: Callable[..., Any]) -> None:
    world = make_world(delivery="at_least_once")
    world.feed(10)
    record = {"event_id": "e3", "event_time": "2024-03-01T00:00:30Z", "model": MODEL}
    value = json.dumps({**record, "model_version": 1, "score": 3 / 7 + 0.1, "outputs": None})
    world.produce(world.section.output.topic, [value.encode()])
    report = check(world)
    assert report.ok, report.to_json()
    assert report.published == 10


@pytest.mark.parametrize("field", ["score", "model_version"])
def test_a_prediction_published_otherwise_is_found(world: Any, field: str) -> None:
    world.feed(10, publish=False)
    for number, row in enumerate(world.event(number) for number in range(10)):
        record = {
            "event_id": row["event_id"],
            "event_time": row["event_time"].isoformat(),
            "model_version": 1,
            "score": row["items"] / 7 + 0.1,
        }
        if number == 4:
            record[field] = 2
        world.produce(world.section.output.topic, [json.dumps(record).encode()])
    report = check(world)
    assert kinds(report) == {"published differently"}
    assert "'e4' at 0:4" in report.differences[0].detail


def test_an_unpublished_row_is_missed_when_it_is_old_enough(fed: Any) -> None:
    fed.feed(4, publish=False)
    live = check(fed, complete=False)
    assert live.ok
    assert (live.awaiting, live.published) == (4, 490)
    report = check(fed)
    assert kinds(report) == {"unpublished"}
    assert report.differences[0].count == 4


def test_what_is_no_prediction_in_the_output_topic_is_found(fed: Any) -> None:
    record = {"event_id": "x", "event_time": "2024-03-01T00:00:00Z"}
    stranger = json.dumps({**record, "model_version": 1, "score": 1}).encode()
    fed.produce(fed.section.output.topic, [b"?", stranger], partition=1)
    report = check(fed)
    assert kinds(report) == {"unreadable", "not in the store"}


def test_records_deleted_by_kafka_are_proven_by_the_ledger(fed: Any) -> None:
    admin = AdminClient(librdkafka(fed.config.kafka))
    below = TopicPartition(fed.section.input.topic, 0, 100)
    for deleted in admin.delete_records([below]).values():
        deleted.result(30)
    report = check(fed)
    assert report.ok, report.to_json()
    assert report.events.read == 505


def test_predictions_deleted_by_kafka_are_not_missed(fed: Any) -> None:
    admin = AdminClient(librdkafka(fed.config.kafka))
    below = TopicPartition(fed.section.output.topic, 0, 300)
    for deleted in admin.delete_records([below]).values():
        deleted.result(30)
    report = check(fed)
    assert report.ok, report.to_json()
    assert report.published == 490


def test_rows_dropped_by_retention_are_proven_by_ledger_and_profiles(fed: Any) -> None:
    fed.sql("SELECT set_chunk_time_interval('driftline.prediction_fraud', INTERVAL '1 day')")
    month = timedelta(days=30)
    late = [{**event, "event_time": event["event_time"] + month} for event in fed.events(20)]
    fed.log(late, fed.produce_events(late))
    fed.sql(
        "SELECT drop_chunks('driftline.prediction_fraud', older_than => '2024-03-20'::timestamptz)"
    )
    report = check(fed, deep=True)
    assert report.ok, report.to_json()
    assert (report.events.logged, report.events.expired) == (510, 490)
    assert report.profiled == 510
    fed.sql("DELETE FROM driftline.prediction_fraud WHERE event_id = 'e510'")
    assert "logged lost" in kinds(check(fed))


def test_a_range_is_widened_to_whole_ledger_rows(fed: Any) -> None:
    report = check(fed, offsets={0: (290, 302)})
    assert report.ok, report.to_json()
    events = report.events
    assert (events.read, events.logged, events.duplicate) == (305, 300, 5)
    assert report.profiled is None
    assert report.published == 300
    fed.sql("DELETE FROM driftline.prediction_fraud WHERE kafka_offset = 17 AND source = 2")
    report = check(fed, offsets={1: (0, 50)})
    assert kinds(report) == {"logged lost", "profile"}
    assert offsets(report, "logged lost") == [(17, 17), (190, 192)]  # the last are filtered


def test_a_range_by_time_holds_what_was_produced_then(fed: Any) -> None:
    between = datetime.now(UTC)
    fed.feed(10)
    assert check(fed, since=between).events.read == 10
    assert check(fed, until=between).events.read == 505


def test_what_is_unknown_is_said(fed: Any) -> None:
    with pytest.raises(AuditError, match=r"has no partition 9"):
        check(fed, offsets={9: (0, 1)})
    gone = fed.section.model_copy(
        update={"input": fed.section.input.model_copy(update={"topic": "no-such-topic"})}
    )
    config = fed.config.model_copy(update={"models": {MODEL: gone}})
    with pytest.raises(AuditError, match=r"topic 'no-such-topic' does not exist"):
        audit(config, MODEL)


def log_labels(world: Any, labels: list[dict[str, Any]], rejected: int = 0) -> None:
    """Produce labels, and log them as the job does; the last become rejects."""
    values = [json.dumps(one, default=str).encode() for one in labels]
    offsets = world.produce(world.section.labels.topic, values)
    n, m = len(labels), len(labels) - rejected
    batch = LabelBatch(
        positions=pa.RecordBatch.from_pydict(
            {"partition": [0] * n, "offset": offsets, "kafka_time": [datetime.now(UTC)] * n},
            schema=POSITION,
        ),
        event_id=pa.array([one["event_id"] for one in labels[:m]], pa.string()),
        label_time=pa.array([one["time"] for one in labels[:m]], pa.timestamp("us", tz="UTC")),
        label=pa.array([one["label"] for one in labels[:m]], pa.float64()),
        messages=np.arange(m, dtype=np.int32),
        rejects=pa.RecordBatch.from_pydict(
            {
                "message": list(range(m, n)),
                "reason": ["no label"] * rejected,
                "detail": [""] * rejected,
                "payload": values[m:],
            },
            schema=REJECT,
        ),
    )
    with connect(world.config.postgres, "write") as connection:
        LabelWriter(connection, MODEL, world.section.labels.topic).write(batch)


def test_labels_are_proven_like_events(make_world: Callable[..., Any]) -> None:
    world = make_world(labels=True)
    world.feed(10)
    labels = [
        {**world.event(n), "time": world.event(n)["event_time"], "label": 1.0} for n in range(9)
    ]
    log_labels(world, labels, rejected=1)
    log_labels(world, labels[:3])
    report = check(world)
    assert report.ok, report.to_json()
    assert report.labels is not None
    counts = report.labels
    assert (counts.read, counts.logged, counts.duplicate, counts.rejected) == (12, 8, 3, 1)
    world.sql("DELETE FROM driftline.label WHERE event_id = 'e5'")
    report = check(world)
    assert kinds(report) == {"logged lost"}
    assert offsets(report, "logged lost") == [(5, 5)]
    world.sql("DELETE FROM driftline.label WHERE event_id = 'e2'")
    assert "dangling duplicate" in kinds(check(world))
