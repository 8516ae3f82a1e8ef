import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import ServiceError
from driftline.services import files


@given(st.dictionaries(st.text(), st.integers() | st.text()))
def test_json_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, int | str]
) -> None:
    path = tmp_path_factory.mktemp("json") / "f.json"
    files.write_json(path, content)
    assert files.read_json(path, None) == content


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("{")
    with pytest.raises(ServiceError, match=r"can't read '.*/f': .*delete it and run"):
        files.read_json(tmp_path / "f", None)
    assert files.read_json(tmp_path / "absent", 7) == 7


def test_a_password_is_long_kept_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "one"
    first = files.password(path)
    assert len(first) == 32
    assert files.password(path) == first
    assert files.password(tmp_path / "secrets" / "two") != first
    assert path.stat().st_mode & 0o777 == 0o600


def test_data_without_their_password_are_not_touched(tmp_path: Path) -> None:
    files.require_password(tmp_path / "secret", tmp_path / "data")
    (tmp_path / "data").mkdir()
    with pytest.raises(
        ServiceError, match=r"can't open '.*/data': its password file '.*/secret' is missing"
    ):
        files.require_password(tmp_path / "secret", tmp_path / "data")


def test_a_full_disk_is_refused_before_the_work(tmp_path: Path) -> None:
    files.require_space(tmp_path / "not" / "yet", 1, "a test")
    with pytest.raises(
        ServiceError, match=r"not enough disk space at .*a test needs 10{9} MB, \d+"
    ):
        files.require_space(tmp_path / "not" / "yet", 10**9, "a test")


def test_a_held_lock_is_said_and_refused_in_the_end(tmp_path: Path) -> None:
    said: list[str] = []
    held = r"can't lock '.*/lock' within 0 s: another driftline"
    with (
        files.file_lock(tmp_path / "lock"),
        pytest.raises(ServiceError, match=held),
        files.file_lock(tmp_path / "lock", timeout=0, on_wait=said.append),
    ):
        pass
    assert said == ["waiting for another driftline process that holds lock"]
    with files.file_lock(tmp_path / "lock", timeout=0):
        pass


def test_lock_holders_take_turns(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def hold(number: int) -> None:
        with files.file_lock(tmp_path / "lock"):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    threads = [threading.Thread(target=hold, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8
