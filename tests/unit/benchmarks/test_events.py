"""The benchmark's events are what the figures say they are."""

from itertools import islice

import numpy as np
import orjson

from benchmarks import events
from driftline.config import Input
from driftline.streaming.scoring.decode import JsonDecoder
from driftline.streaming.scoring.rejects import Rejects

SETTINGS = Input.model_validate(
    {
        "topic": "t",
        "event_id": "id",
        "event_time": "at",
        "time_format": "epoch_ms",
        "fields": dict(events.FIELDS),
        "required": list(events.NUMBERS),
        "accept": {"since": "2025-01-01", "until": "2100-01-01"},
    }
)


def decode(payloads: list[bytes]) -> tuple[int, int]:
    """How many are events, and how many are rejected."""
    rejects = Rejects(payloads)
    now = np.full(len(payloads), np.datetime64("2026-01-01", "us"))
    decoded = JsonDecoder(SETTINGS)(payloads, now, rejects)
    return len(decoded.events), len(rejects)


def test_every_event_is_decoded_and_none_comes_twice() -> None:
    generated = list(events.messages(2_000))
    assert decode([message for *_, message in generated]) == (2_000, 0)
    assert len({event_id for _, event_id, _ in generated}) == 2_000


def test_an_event_says_its_own_id_and_time() -> None:
    at, event_id, message = next(events.messages(1))
    assert orjson.loads(message)["id"] == event_id
    assert orjson.loads(message)["at"] == at == events.START_MS


def test_more_events_begin_with_the_same_ones() -> None:
    later = list(events.messages(10, first=40_000))
    assert later == list(events.messages(40_010))[-10:]
    few, many = events.messages(10), events.messages(1_000)
    assert list(few) == list(islice(many, 10))


def test_times_are_as_dense_as_stated() -> None:
    times = events.times(0, 3 * events.PER_MINUTE)
    minutes, counts = np.unique(times // 60_000, return_counts=True)
    assert len(minutes) == 3
    assert set(counts.tolist()) == {events.PER_MINUTE}


def test_every_way_to_spoil_an_event_gets_it_rejected() -> None:
    payloads = [message for *_, message in events.messages(20)]
    assert decode([events.corrupt(message, n) for n, message in enumerate(payloads)]) == (0, 20)
