"""Time from the end of a drifted window, with its lateness, until an HTTP receiver is notified.

With a runner in a separate process, apprise, and real time: one-minute windows.
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

MODEL = "notified"
_MINUTE = timedelta(minutes=1)
_MARGIN = 20.0  # seconds, at least, between storing the rows and the end of their minute


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
            wait_for(lambda: any("drift" in message["title"] for message in receiver.got), 300)
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
            "monitors": {"windows": ["1 min"], "lateness": "1 s", "assumed_variation": 0.1},
        }
    )
    secret = folder / "address"
    secret.write_text(f"json://127.0.0.1:{port}/\n")
    notify = config.notify.model_copy(update={"urls": (Secret(file=secret),)})
    notify_config = config.model_copy(
        update={
            "postgres": config.local_postgres(),
            "kafka": config.local_kafka(),
            "models": {MODEL: model},
            "notify": notify,
        }
    )
    schema.migrate(notify_config, {MODEL: FEATURES})
    return Stream(notify_config, MODEL, store_reference(notify_config, MODEL))


def _drift(stream: Stream) -> datetime:
    """Store a drifted minute; returns when it is due for evaluation."""
    now = datetime.now(UTC)
    minute = now.replace(second=0, microsecond=0)
    if (minute + _MINUTE - now).total_seconds() < _MARGIN:
        time.sleep((minute + _MINUTE - now).total_seconds() + 1)
        minute += _MINUTE
    table = rows(stream.rng, 20_000, minute, shift=40.0)
    inside = [event_time < minute + _MINUTE for event_time in table["event_time"].to_pylist()]
    stream.log(table.filter(inside))
    return minute + _MINUTE + stream.section.monitors.lateness
