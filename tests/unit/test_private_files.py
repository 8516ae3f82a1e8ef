from pathlib import Path

import pytest

from driftline.config import Config
from driftline.errors import ServiceError
from driftline.private_files import private_folder, write_private


def test_private_files_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "f", "text")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    assert private_folder(tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in tmp_path.glob(".f*")] == []  # no temporary file stays


def test_a_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    write_private(tmp_path / "f", "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(tmp_path / "f", "\udcff")
    assert (tmp_path / "f").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ServiceError, match=r"can't use the folder '.*/file/below': Not a directory"
    ):
        private_folder(tmp_path / "file" / "below")


@pytest.mark.parametrize("open_before", [True, False])
def test_the_state_is_closed_whoever_makes_it(tmp_path: Path, open_before: bool) -> None:
    state = tmp_path / "state"
    if open_before:  # by an older version
        state.mkdir(mode=0o755)
    folder = Config(state=state).folder("logs", "job")
    assert folder == state / "logs" / "job"
    assert state.stat().st_mode & 0o777 == folder.stat().st_mode & 0o777 == 0o700
