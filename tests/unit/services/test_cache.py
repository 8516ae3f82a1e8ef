import threading
from pathlib import Path

import pytest

from driftline.errors import ServiceError
from driftline.services import cache


def ignore(_: str) -> None:
    pass


def test_the_folder_is_the_users_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_CACHE_DIR", "/some/folder")
    assert cache.cache_folder() == Path("/some/folder")
    monkeypatch.delenv("DRIFTLINE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/me/.cache")
    assert cache.cache_folder() == Path("/home/me/.cache/driftline")


def test_root_avoids_a_closed_folder_for_what_others_must_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("DRIFTLINE_CACHE_DIR", str(closed / "cache"))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert cache.readable_cache_folder() == Path("/var/cache/driftline")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cache.readable_cache_folder() == closed / "cache"


def test_many_at_once_build_it_once(tmp_path: Path) -> None:
    builds: list[Path] = []

    def build(folder: Path) -> None:
        builds.append(folder)
        (folder / "program").write_text("text")

    def populate() -> None:
        cache.populate(tmp_path / "tool", build, megabytes=1, say=ignore)

    threads = [threading.Thread(target=populate) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert (tmp_path / "tool" / "program").read_text() == "text"
    assert (tmp_path / "tool").stat().st_mode & 0o777 == 0o755


def test_a_failed_build_leaves_nothing_and_may_be_tried_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ServiceError("no network")

    with pytest.raises(ServiceError, match="no network"):
        cache.populate(tmp_path / "tool", fail, megabytes=1, say=ignore)
    assert [path.name for path in tmp_path.iterdir()] == [".tool.lock"]
    cache.populate(tmp_path / "tool", lambda _: None, megabytes=1, say=ignore)
    assert (tmp_path / "tool").is_dir()


def test_a_full_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"not enough disk space .*: tool needs 10{9} MB"):
        cache.populate(tmp_path / "tool", lambda _: None, megabytes=10**9, say=ignore)
