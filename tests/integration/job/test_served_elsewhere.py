"""The real job with its model on a real server that speaks TensorFlow Serving's REST protocol."""

import json
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from driftline.registry.register import register
from tests import serving
from tests.integration.job import feed
from tests.integration.job.conftest import World
from tests.integration.job.running import Running, proof, rows
from tests.unit.registry import keras_models

EVENTS = 3_000


def events(first: int, end: int) -> Iterator[bytes]:
    """Events with a number, a whole number, a text and an image."""
    for i in range(first, end):
        image = [[i % 7 + 0.5] * 4] * 4
        event = {
            "id": f"e{i}",
            "at": feed.START + i,
            "x": i % 10 / 4,
            "k": i % 5,
            "c": "abä"[i % 3],
        }
        yield json.dumps({**event, "image": image}).encode()


def reference(n: int = 200) -> pa.Table:
    random = np.random.default_rng(0)
    images = pa.FixedSizeListArray.from_arrays(pa.array(random.random(n * 16, np.float32)), 16)
    numbers = {
        "x": random.normal(size=n),
        "k": random.integers(0, 5, n),
        "c": ["a", "b"] * (n // 2),
    }
    return pa.table(numbers).append_column("image", images)


def test_every_event_is_scored_by_the_server_also_after_it_was_away(
    world: World, model_server: str, tmp_path: Path
) -> None:
    model, registered = "elsewhere", f"images-{uuid.uuid4().hex[:8]}"
    source = keras_models.save(tmp_path / "m.keras")
    register(world.config.local_mlflow(), registered, source, reference(), alias="champion")
    server = {"url": model_server, "name": "conformance", "version": "latest"}
    server |= {"missing": "null", "timeout": "1 s"}
    section = world.section(model, registry={"name": registered, "serving": server}, segments=["c"])
    image = {"type": "tensor", "shape": [4, 4]}
    section["input"]["fields"] = {"x": "float", "k": "int", "c": "string", "image": image}
    path = world.write(model, section)
    world.make_topics(model)
    kafka, topic = world.config.local_kafka(), world.topic(model, "events")
    program = str(serving.FILES / "server.py")
    children = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]
    (process,) = (p for p in children if program in p.cmdline())
    with Running(path, model) as job:
        feed.produce(kafka, topic, events(0, 1_000))
        job.wait_until_settled(1_000)
        process.send_signal(signal.SIGSTOP)
        feed.produce(kafka, topic, events(1_000, 2_000))
        time.sleep(3)  # some requests run into their time limit
        process.send_signal(signal.SIGCONT)
        feed.produce(kafka, topic, events(2_000, EVENTS))
        job.wait_until_settled(EVENTS)
        job.drain()
    report = proof(job.config, model)
    assert (report.events.logged, report.events.rejected, report.published) == (EVENTS, 0, EVENTS)
    word = "CASE c WHEN 'a' THEN 0.5 WHEN 'b' THEN 1.5 ELSE 0 END"
    expected = f"2 * x + k + {word} + 0.25 * image[1]"
    stored = rows(
        job.config,
        f"""SELECT bool_and(abs(score - ({expected})) < 1e-4),
                   bool_and((outputs->>'name' IS NOT NULL)
                            AND jsonb_array_length(outputs->'classes') = 3),
                   array_agg(DISTINCT model_version)
              FROM driftline.prediction_{model}""",
    )
    assert stored == [(True, True, [1])]
