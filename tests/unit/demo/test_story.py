"""Where the demo's stream is held back for the story, and where it flows."""

import threading
import time
from typing import Any

import pytest

from driftline.config import Config
from driftline.demo import settings, story
from driftline.demo.replay import Message

FLIGHTS = 100


def test_the_stream_flows_while_a_version_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "_TAKING_OVER", 0.2)
    nothing: Any = None
    told = story.Story(Config(), print, nothing, nothing, nothing)
    passed: list[Message] = []

    def consume() -> None:
        for message in told.held(iter([Message(settings.EVENTS, 0, b"")] * FLIGHTS), FLIGHTS):
            passed.append(message)  # noqa: PERF402 - it is looked at meanwhile

    def stops_at(n: int) -> None:
        until = time.monotonic() + 60
        while len(passed) < n and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)
        assert len(passed) == n

    sender = threading.Thread(target=consume)
    sender.start()
    stops_at(25)
    told._shadowed.set()
    stops_at(60)
    told._asked.set()
    stops_at(80)
    told._decided.set()
    sender.join(60)
    assert len(passed) == FLIGHTS
