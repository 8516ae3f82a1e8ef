"""Preflight checks of versions in a real process of their own."""

import contextlib
import itertools
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest

from driftline.config import Registry, TensorFlowServing
from driftline.errors import RegistryError, ServiceError
from driftline.registry import preflight
from driftline.registry.columns import blank
from driftline.registry.shared_preflight import SharedPreflight
from driftline.services.ports import choose
from tests.unit.registry import odd_models

pytestmark = pytest.mark.tensorflow

FEATURES = pa.schema([("amount", pa.float64()), ("items", pa.int64()), ("country", pa.string())])
PATIENT = Registry(name="m")

_numbers = itertools.count()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all workers of a host share."""
    return tmp_path_factory.mktemp("cache") / "models"


@pytest.fixture
def own_cache(tmp_path: Path) -> Path:
    """The folder of another host."""
    return tmp_path / "models"


@pytest.fixture(scope="module")
def checks(cache: Path) -> Iterator[SharedPreflight]:
    """The checks of one worker, whose fork server runs from now on."""
    checks = SharedPreflight(cache, PATIENT, FEATURES)
    checks.prepare()
    yield checks
    checks.close()


@pytest.fixture(autouse=True)
def no_command_stands_by() -> None:
    """Commands of other tests in this process may have left a fork server; stop it."""
    preflight._fork_server(True).close()


def limited(seconds: int, **settings: Any) -> Registry:
    return Registry(name="m", preflight_timeout=timedelta(seconds=seconds), **settings)


def version(cache: Path, kind: str = "", rows: int = 0) -> Path:
    folder = cache / "m" / f"{next(_numbers)}-{kind or 'good'}"
    folder.mkdir(parents=True)
    odd_models.save(folder / "tf2model", kind, rows=rows)
    return folder


def standing_by() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if _is_fork_server(child)]


def _is_fork_server(process: psutil.Process) -> bool:
    try:
        return "driftline.registry.preflight" in process.cmdline()
    except psutil.Error:  # it has ended
        return False


def forks() -> list[psutil.Process]:
    """The checks that are running."""
    processes = []
    for process in standing_by():  # also finds the forks, which may end meanwhile
        with contextlib.suppress(psutil.NoSuchProcess):
            processes += process.children()
    return processes


def test_a_version_takes_no_more_memory_than_real_ones_need(own_cache: Path) -> None:
    with pytest.raises(RegistryError, match=r"OOM when allocating|far more memory than its files"):
        preflight.check(version(own_cache, "eats"), PATIENT, 1, None)


def test_a_command_tries_a_version_again_and_again_in_one_process(own_cache: Path) -> None:
    rows, unrelated = blank(FEATURES, 10), standing_by()
    preflight.check(version(own_cache), PATIENT, 1, rows)
    processes = standing_by()
    assert len(processes) == len(unrelated) + 1
    with pytest.raises(RegistryError, match="InvalidArgumentError"):
        preflight.check(version(own_cache, "raises", rows=10), PATIENT, 1, rows)
    with pytest.raises(RegistryError, match="model input 'items' has no feature column"):
        preflight.check(version(own_cache), PATIENT, 1, rows.select(["amount", "country"]))
    assert standing_by() == processes
    preflight._fork_server(True).close()
    assert standing_by() == unrelated


def test_a_good_version_passes_once_for_all_workers(cache: Path, checks: SharedPreflight) -> None:
    path = version(cache)
    assert len(standing_by()) == 1
    checks.run(path, 1)
    other = SharedPreflight(cache, PATIENT, FEATURES)
    shutil.rmtree(path)  # the other one does not try it again
    other.prepare()
    other.run(path, 1)
    other.close()


@pytest.mark.parametrize(("kind", "why"), [("raises", "boom"), ("corrupt", "can't load the Saved")])
def test_a_broken_version_is_refused_with_its_reason(
    cache: Path, checks: SharedPreflight, kind: str, why: str
) -> None:
    path = version(cache, kind, rows=100)
    if kind == "corrupt":
        (path / "tf2model" / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(RegistryError, match=why):
        checks.run(path, 1)
    with pytest.raises(RegistryError, match=why):  # what the other workers hear
        SharedPreflight(cache, PATIENT, FEATURES).run(path, 1)


def test_a_version_that_kills_its_process_is_refused(cache: Path, checks: SharedPreflight) -> None:
    (process,) = standing_by()
    over = threading.Event()

    def kill() -> None:
        """Its forks, whenever they come; what it runs while it imports is another program."""
        while not over.wait(0.1):
            for child in process.children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if child.cmdline() == process.cmdline():
                        child.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(RegistryError, match="ended the process with exit code -9"):
            checks.run(version(cache, "hangs", rows=100), 1)
    finally:
        over.set()
        killer.join()
    assert standing_by() == [process]


def test_a_process_that_was_ended_is_no_versions_fault(
    cache: Path, checks: SharedPreflight
) -> None:
    (process,) = standing_by()
    process.kill()
    checks.run(version(cache), 1)


def test_a_model_server_that_is_away_is_no_versions_fault(own_cache: Path) -> None:
    """Even if a serving worker would wait for it longer than the check's limit."""
    serving = TensorFlowServing(url=f"http://127.0.0.1:{choose()}", retry_for=timedelta(hours=1))
    checks = SharedPreflight(own_cache, limited(8, serving=serving), FEATURES)
    with pytest.raises(ServiceError, match="gave no valid response within 2 s"):
        checks.run(version(own_cache), 1)
    checks.close()


def test_a_hanging_trial_leaves_room_for_another(own_cache: Path) -> None:
    unrelated = standing_by()
    checks = SharedPreflight(own_cache, PATIENT, FEATURES)
    hangs = version(own_cache, "hangs", rows=100)
    refused = threading.Thread(target=lambda: _refused(checks, hangs))
    refused.start()
    while not forks():
        time.sleep(0.05)
    checks.run(version(own_cache), 2)
    assert refused.is_alive()
    for fork in forks():
        with contextlib.suppress(psutil.NoSuchProcess):
            fork.kill()
    refused.join()
    assert len(standing_by()) == len(unrelated) + 1
    checks.close()
    assert standing_by() == unrelated


def _refused(checks: SharedPreflight, path: Path) -> None:
    with pytest.raises(RegistryError):
        checks.run(path, 1)


def test_other_features_are_refused(own_cache: Path) -> None:
    checks = SharedPreflight(own_cache, PATIENT, FEATURES.remove(1))
    with pytest.raises(RegistryError, match="model input 'items' has no feature column"):
        checks.run(version(own_cache), 1)
    checks.close()


def test_the_time_limit_is_of_loading_and_predicting_alone(own_cache: Path) -> None:
    hasty = SharedPreflight(own_cache, limited(10), FEATURES)
    hasty.run(version(own_cache), 1)  # the start of the process does not count
    processes = set(standing_by())
    with pytest.raises(RegistryError, match="it did not load and predict within 10 s"):
        hasty.run(version(own_cache, "hangs", rows=100), 1)
    assert sum(process.is_running() for process in processes) < len(processes)
    hasty.close()


def test_another_worker_takes_over_when_the_first_is_gone(own_cache: Path) -> None:
    unrelated = len(standing_by())
    first, second = (SharedPreflight(own_cache, PATIENT, FEATURES) for _ in range(2))
    first.prepare()
    second.prepare()
    assert len(standing_by()) == unrelated + 1
    first.close()
    assert len(standing_by()) == unrelated
    second.run(version(own_cache), 1)
    second.close()
    assert len(standing_by()) == unrelated


def test_what_the_first_worker_never_tries_is_tried_by_who_waits(own_cache: Path) -> None:
    """It may serve that version already, and so have no reason to."""
    unrelated = len(standing_by())
    first = SharedPreflight(own_cache, PATIENT, FEATURES)
    first.prepare()
    second = SharedPreflight(own_cache, limited(5), FEATURES)
    path = version(own_cache)
    second.run(path, 1)
    assert SharedPreflight.passed(path)
    assert len(standing_by()) == unrelated + 1  # its own has ended
    first.close()
    second.close()
