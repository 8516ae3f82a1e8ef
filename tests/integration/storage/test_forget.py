"""A model that was forgotten begins again: no checkpoint of before is resumed."""

from pathlib import Path
from typing import Any

from driftline.audit import audit
from driftline.storage.connection import connect
from driftline.storage.forget import forget
from driftline.streaming.flink.checkpoints import checkpoint_folder, discard_forgotten, newest
from tests.unit.streaming.flink.test_checkpoints import checkpoint

MODEL = "fraud"


def test_checkpoints_of_before_are_deleted(world: Any, tmp_path: Path) -> None:
    config = world.config.model_copy(update={"state": tmp_path / "state"})
    folder = checkpoint_folder(config, MODEL)
    path = tmp_path / "state" / "checkpoints" / MODEL
    old = checkpoint(path, "run-a/chk-3", age=0)
    world.feed(20)
    discard_forgotten(config, MODEL)
    assert newest(folder) == old  # nothing was forgotten

    with connect(config.postgres, "migrate", autocommit=True) as connection:
        forget(connection, MODEL)
    report = audit(config, MODEL)
    assert (report.events.logged, report.events.pending) == (0, 20)
    discard_forgotten(config, MODEL)
    assert newest(folder) is None

    new = checkpoint(path, "run-b/chk-1", age=0)
    discard_forgotten(config, MODEL)
    assert newest(folder) == new

    # on another host, whose checkpoints are of before too
    other = config.model_copy(update={"state": tmp_path / "other"})
    checkpoint(tmp_path / "other" / "checkpoints" / MODEL, "run-a/chk-9", age=0)
    discard_forgotten(other, MODEL)
    assert newest(checkpoint_folder(other, MODEL)) is None
    assert newest(folder) == new
