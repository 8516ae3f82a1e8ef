"""Trials of versions in a real process of their own."""

import contextlib
import itertools
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from driftline.config import Registry, TensorFlowServing
from driftline.errors import RegistryError, ServiceError
from driftline.registry import trial
from driftline.registry.columns import blank
from driftline.registry.trials import Trials
from driftline.services.ports import choose
from tests.unit.registry import odd_models

pytestmark = pytest.mark.tensorflow

FEATURES = pa.schema([("amount", pa.float64()), ("items", pa.int64()), ("country", pa.string())])
PATIENT = Registry(name="m")
LIMIT = timedelta(seconds=8)

_numbers = itertools.count()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all workers of a host share."""
    return tmp_path_factory.mktemp("cache") / "models"


@pytest.fixture
def own_cache(tmp_path: Path) -> Path:
    """One of another host."""
    return tmp_path / "models"


@pytest.fixture(scope="module")
def trials(cache: Path) -> Iterator[Trials]:
    """Those of one worker, whose process stands by from now on."""
    trials = Trials(cache, PATIENT, FEATURES)
    trials.prepare()
    yield trials
    trials.close()


@pytest.fixture(autouse=True)
def no_command_stands_by() -> None:
    """Commands of other tests in this process may have left theirs; it comes again when asked."""
    trial._own(True).close()


def version(cache: Path, kind: str = "", rows: int = 0) -> Path:
    folder = cache / "m" / f"{next(_numbers)}-{kind or 'good'}"
    folder.mkdir(parents=True)
    odd_models.save(folder / "tf2model", kind, rows=rows)
    return folder


def standing_by() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if _is_trial(child)]


def _is_trial(process: psutil.Process) -> bool:
    try:
        return "driftline.registry.trial" in process.cmdline()
    except psutil.Error:  # it has ended
        return False


def forks() -> list[psutil.Process]:
    """The trials that are going on."""
    found = []
    for process in standing_by():  # a trial among them, which may end meanwhile
        with contextlib.suppress(psutil.NoSuchProcess):
            found += process.children()
    return found


def test_a_version_takes_no_more_memory_than_real_ones_need(own_cache: Path) -> None:
    with pytest.raises(RegistryError, match=r"OOM when allocating|far more memory than its files"):
        trial.try_out(version(own_cache, "eats"), PATIENT, 1, None)


def test_a_command_tries_a_version_again_and_again_in_one_process(own_cache: Path) -> None:
    rows, others = blank(FEATURES, 10), standing_by()
    trial.try_out(version(own_cache), PATIENT, 1, rows)
    processes = standing_by()
    assert len(processes) == len(others) + 1
    with pytest.raises(RegistryError, match="InvalidArgumentError"):
        trial.try_out(version(own_cache, "raises", rows=10), PATIENT, 1, rows)
    with pytest.raises(RegistryError, match="model input 'items' has no feature column"):
        trial.try_out(version(own_cache), PATIENT, 1, rows.select(["amount", "country"]))
    assert standing_by() == processes
    trial._own(True).close()
    assert standing_by() == others


def test_a_good_version_passes_once_for_all_workers(cache: Path, trials: Trials) -> None:
    path = version(cache)
    assert len(standing_by()) == 1
    trials.run(path, 1)
    other = Trials(cache, PATIENT, FEATURES)
    shutil.rmtree(path)  # the other one does not try it again
    other.prepare()
    other.run(path, 1)
    other.close()


@pytest.mark.parametrize(("kind", "why"), [("raises", "boom"), ("corrupt", "can't load the Saved")])
def test_a_broken_version_is_refused_with_its_reason(
    cache: Path, trials: Trials, kind: str, why: str
) -> None:
    path = version(cache, kind, rows=100)
    if kind == "corrupt":
        (path / "tf2model" / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(RegistryError, match=why):
        trials.run(path, 1)
    with pytest.raises(RegistryError, match=why):  # what the other workers hear
        Trials(cache, PATIENT, FEATURES).run(path, 1)


def test_a_version_that_kills_its_process_is_refused(cache: Path, trials: Trials) -> None:
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
        with pytest.raises(RegistryError, match="ended with code -9"):
            trials.run(version(cache, "hangs", rows=100), 1)
    finally:
        over.set()
        killer.join()
    assert standing_by() == [process]


def test_a_process_that_was_ended_is_no_versions_fault(cache: Path, trials: Trials) -> None:
    (process,) = standing_by()
    process.kill()
    trials.run(version(cache), 1)


def test_a_model_server_that_is_away_is_no_versions_fault(own_cache: Path) -> None:
    """Also where it is waited for longer, in service, than a trial may take."""
    serving = TensorFlowServing(url=f"http://127.0.0.1:{choose()}", patience=timedelta(hours=1))
    trials = Trials(own_cache, Registry(name="m", serving=serving, trial=LIMIT), FEATURES)
    with pytest.raises(ServiceError, match="gave no answer for 2 s"):
        trials.run(version(own_cache), 1)
    trials.close()


def test_a_hanging_trial_leaves_room_for_another(own_cache: Path) -> None:
    others = standing_by()
    trials = Trials(own_cache, PATIENT, FEATURES)
    hangs = version(own_cache, "hangs", rows=100)
    refused = threading.Thread(target=lambda: _refused(trials, hangs))
    refused.start()
    while not forks():
        time.sleep(0.05)
    trials.run(version(own_cache), 2)
    assert refused.is_alive()
    for fork in forks():
        with contextlib.suppress(psutil.NoSuchProcess):
            fork.kill()
    refused.join()
    assert len(standing_by()) == len(others) + 1
    trials.close()
    assert standing_by() == others


def _refused(trials: Trials, path: Path) -> None:
    with pytest.raises(RegistryError):
        trials.run(path, 1)


def test_other_features_are_refused(own_cache: Path) -> None:
    trials = Trials(own_cache, PATIENT, FEATURES.remove(1))
    with pytest.raises(RegistryError, match="model input 'items' has no feature column"):
        trials.run(version(own_cache), 1)
    trials.close()


def test_the_time_limit_is_of_loading_and_predicting_alone(own_cache: Path) -> None:
    hasty = Trials(own_cache, Registry(name="m", trial=timedelta(seconds=10)), FEATURES)
    hasty.run(version(own_cache), 1)  # whatever its process takes to start
    before = set(standing_by())
    with pytest.raises(RegistryError, match="it has not loaded and predicted within 10 s"):
        hasty.run(version(own_cache, "hangs", rows=100), 1)
    assert sum(process.is_running() for process in before) < len(before)
    hasty.close()


def test_another_worker_takes_over_when_the_first_is_gone(own_cache: Path) -> None:
    others = len(standing_by())
    first, second = (Trials(own_cache, PATIENT, FEATURES) for _ in range(2))
    first.prepare()
    second.prepare()
    assert len(standing_by()) == others + 1
    first.close()
    assert len(standing_by()) == others
    second.run(version(own_cache), 1)
    second.close()
    assert len(standing_by()) == others


def test_what_the_first_worker_never_tries_is_tried_by_who_waits(own_cache: Path) -> None:
    """It may serve that version already, and so have no reason to."""
    others = len(standing_by())
    first = Trials(own_cache, PATIENT, FEATURES)
    first.prepare()
    second = Trials(own_cache, Registry(name="m", trial=timedelta(seconds=5)), FEATURES)
    path = version(own_cache)
    second.run(path, 1)
    assert Trials.passed(path)
    assert len(standing_by()) == others + 1  # its own has ended
    first.close()
    second.close()
