"""How long after a drifted window's lateness a message is with an HTTP receiver.

A runner in a process of its own, apprise, the real time: windows of a minute, judged at their end.
"""

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from driftline.config import Config, Model
from driftline.config.types import Secret
from driftline.storage.tables import schema
from tests.integration.monitors.conftest import FEATURES, Stream, rows, store_reference
from tests.integration.monitors.running import start, wait_for
from tests.integration.monitors.test_deliver import receiving

MODEL = "told"
_MINUTE = timedelta(minutes=1)
_ENOUGH = 20.0  # seconds before a minute ends that its rows are logged


def measure(config: Config) -> dict[str, float]:
    """`monitors.notify_seconds`: from the end of the lateness to the receiver.

    Parameters:
        config: with a database.
    """
    with tempfile.TemporaryDirectory() as folder, receiving() as receiver:
        stream = _stream(config, receiver.port, Path(folder))
        runner = start(stream.config, Path(folder))
        try:
            end = _drift(stream)
            wait_for(lambda: any("drift" in one["title"] for one in receiver.got), 300)
            return {"monitors.notify_seconds": time.time() - end.timestamp()}
        finally:
            runner.terminate()
            runner.wait()


def _stream(config: Config, port: int, folder: Path) -> Stream:
    model = Model.model_validate(
        {
            "input": {
                "topic": "events",
                "event_id": "event_id",
                "event_time": "event_time",
                "fields": {"amount": "float", "country": "string"},
            },
            "registry": {"name": MODEL},
            "monitors": {"windows": ["1 min"], "lateness": "1 s", "variation": 0.1},
        }
    )
    secret = folder / "address"
    secret.write_text(f"json://127.0.0.1:{port}/\n")
    notify = config.notify.model_copy(update={"urls": (Secret(file=secret),)})
    own = config.model_copy(
        update={
            "postgres": config.local_postgres(),
            "kafka": config.local_kafka(),
            "models": {MODEL: model},
            "notify": notify,
        }
    )
    schema.migrate(own, {MODEL: FEATURES})
    return Stream(own, MODEL, store_reference(own, MODEL))


def _drift(stream: Stream) -> datetime:
    """Log a drifted minute; gives when it may be judged."""
    now = datetime.now(UTC)
    minute = now.replace(second=0, microsecond=0)
    if (minute + _MINUTE - now).total_seconds() < _ENOUGH:
        time.sleep((minute + _MINUTE - now).total_seconds() + 1)
        minute += _MINUTE
    table = rows(stream.rng, 20_000, minute, shift=40.0)
    inside = [when < minute + _MINUTE for when in table["event_time"].to_pylist()]
    stream.log(table.filter(inside))
    return minute + _MINUTE + stream.section.monitors.lateness
