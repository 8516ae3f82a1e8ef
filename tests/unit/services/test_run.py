import sys
from pathlib import Path

import pytest

from driftline.errors import ServiceError
from driftline.services.run import find_program, last_lines, run


def test_output_comes_back() -> None:
    assert run([sys.executable, "-c", "print(7)"], "can't") == "7\n"


def test_a_failure_ends_with_what_the_program_said() -> None:
    program = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ServiceError) as caught:
        run([sys.executable, "-c", program], "can't count")
    assert str(caught.value).startswith("can't count: \n    ")
    assert {"    one", "    two"} <= set(str(caught.value).splitlines())


def test_a_program_that_hangs_is_given_up() -> None:
    with pytest.raises(ServiceError, match=r"can't wait: no answer within 0 s"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], "can't wait", timeout=0.2)


def test_a_program_that_cannot_start_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"can't go: .*No such file or directory"):
        run([str(tmp_path / "absent")], "can't go")


def test_a_missing_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ServiceError, match=r"can't find the program 'mvn' .*install it: maven"):
        find_program("mvn", "maven")


def test_the_last_lines_are_few_and_never_empty() -> None:
    assert last_lines("a\n\nb\nc\n", 2) == "\n    b\n    c"
    assert last_lines("") == "it printed nothing"
