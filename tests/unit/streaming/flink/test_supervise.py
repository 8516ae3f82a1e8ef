"""A supervisor that is told to stop while there is no job leaves none behind."""

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from driftline.config import Config, Features, Model
from driftline.streaming.flink import supervise
from driftline.streaming.flink.supervise import JobError, Supervisor

MODEL = "fraud"


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    """Its job's process ends by itself, with an error, once it has imported PyFlink."""
    section: dict[str, Any] = {
        "input": {
            "topic": "t",
            "event_id": "id",
            "event_time": "at",
            "fields": {"amount": "float"},
        },
        "registry": {"name": MODEL},
    }
    config = Config(state=tmp_path, models={MODEL: Model.model_validate(section)})
    return Supervisor(tmp_path / "driftline.yaml", config, MODEL)


def test_no_job_is_started_after_a_stop(supervisor: Supervisor) -> None:
    supervisor.stop()
    assert supervisor._run_once("a checkpoint") != 0
    assert supervisor._child is None


def test_a_job_that_starts_while_the_signal_comes_is_ended(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    previous_handler = signal.signal(signal.SIGINT, lambda *_: supervisor.stop())
    logs = supervisor._jvm_logs

    def interrupted() -> Path:
        signal.raise_signal(signal.SIGINT)
        return logs()

    monkeypatch.setattr(supervisor, "_jvm_logs", interrupted)  # the last step before the start
    try:
        code = supervisor._run_once("a checkpoint")
    finally:
        signal.signal(signal.SIGINT, previous_handler)
    assert code == -signal.SIGTERM
    assert supervisor._child is not None
    assert not psutil.pid_exists(supervisor._child.pid)


def test_windows_that_nobody_could_close_are_said(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the job was not there to be stopped."""
    query = {"sql": {"query": "SELECT *, 1 AS one FROM events", "columns": {"one": "int"}}}
    model = supervisor.config.models[MODEL]
    model = model.model_copy(update={"features": Features.model_validate(query)})
    supervisor.config = supervisor.config.model_copy(update={"models": {MODEL: model}})
    monkeypatch.setattr(supervise, "check_ready", lambda *_: supervisor.stop(drain=True))
    monkeypatch.setattr(supervise, "discard_forgotten", lambda *_: None)
    with pytest.raises(JobError, match="stopped without closing its last windows"):
        supervisor.run()
    assert supervisor._child is None
