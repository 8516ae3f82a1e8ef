import os
import shutil
import threading
from pathlib import Path

import pytest

from driftline.errors import ConfigError
from driftline.streaming.flink.checkpoints import newest


def checkpoint(folder: Path, name: str, age: float, *, complete: bool = True) -> str:
    path = folder / name
    path.mkdir(parents=True)
    (path / "state").touch()
    if complete:
        (path / "_metadata").touch()
        os.utime(path / "_metadata", (1e9 - age, 1e9 - age))
    return path.as_uri()


def test_the_newest_complete_one(tmp_path: Path) -> None:
    old = checkpoint(tmp_path, "run-b/chk-9", age=30)
    new = checkpoint(tmp_path, "run-a/chk-3", age=10)
    middle = checkpoint(tmp_path, "savepoint-1f2e", age=20)
    checkpoint(tmp_path, "run-a/chk-4", age=0, complete=False)
    (tmp_path / "run-a/shared").mkdir()
    assert newest(str(tmp_path)) == newest(tmp_path.as_uri()) == new
    assert newest(str(tmp_path), skip=1) == middle
    assert newest(str(tmp_path), skip=2) == old
    assert newest(str(tmp_path), skip=3) is None


def test_there_is_none(tmp_path: Path) -> None:
    assert newest(str(tmp_path)) is None
    assert newest(str(tmp_path / "missing")) is None
    assert newest((tmp_path / "missing").as_uri(), skip=4) is None


def test_names_that_a_uri_must_escape(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20ü"
    path = checkpoint(folder, "chk-1", age=0)
    assert newest(folder.as_uri()) == path
    assert path.endswith("/a%20b%2520%C3%BC/chk-1")


def test_a_file_uri_with_one_slash(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "chk-1", age=0)
    assert newest(f"file:{tmp_path}") == path


@pytest.mark.parametrize("folder", ["s3://bucket/checkpoints", "hdfs://host:9000/x"])
def test_file_systems_that_only_flink_reads(folder: str) -> None:
    with pytest.raises(ConfigError) as error:
        newest(folder)
    assert str(error.value) == (
        f"can't list checkpoints in {folder!r}: name one with --restore, or use --restore none"
    )


def test_a_running_job_deletes_checkpoints_meanwhile(tmp_path: Path) -> None:
    kept, stop = checkpoint(tmp_path, "run-a/chk-0", age=10), threading.Event()

    def keep_deleting() -> None:
        while not stop.is_set():
            for number in range(30):
                checkpoint(tmp_path, f"run-a/chk-{number + 1}", age=0, complete=False)
            for number in range(30):
                shutil.rmtree(tmp_path / f"run-a/chk-{number + 1}")

    job = threading.Thread(target=keep_deleting)
    job.start()
    try:
        assert {newest(str(tmp_path)) for _ in range(200)} == {kept}
    finally:
        stop.set()
        job.join()
