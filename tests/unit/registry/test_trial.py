"""Trials of versions in a real process of their own."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from driftline.config import Registry
from driftline.errors import RegistryError
from registry.trial import Trials
from tests.unit.registry import odd_models

FEATURES = pa.schema([("amount", pa.float64()), ("items", pa.int64()), ("country", pa.string())])
PATIENT = Registry(name="m")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The folder that all workers of a host share."""
    return tmp_path / "models"


@pytest.fixture
def trials(cache: Path) -> Iterator[Trials]:
    trials = Trials(cache, PATIENT, FEATURES)
    yield trials
    trials.close()


def version(cache: Path, kind: str = "", rows: int = 0) -> Path:
    folder = cache / "m" / f"1-{kind or 'good'}"
    folder.mkdir(parents=True)
    odd_models.save(folder / "tf2model", kind, rows=rows)
    return folder


def standing_by() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if _is_trial(child)]


def _is_trial(process: psutil.Process) -> bool:
    try:
        return "registry.trial" in process.cmdline()
    except psutil.Error:  # it has ended
        return False


def test_a_good_version_passes_once_for_all_workers(cache: Path, trials: Trials) -> None:
    path = version(cache)
    trials.prepare()
    assert len(standing_by()) == 1
    trials.run(path, 1)
    other = Trials(cache, PATIENT, FEATURES)
    shutil.rmtree(path)  # the other one does not try it again
    other.prepare()
    other.run(path, 1)
    other.close()


def test_another_worker_takes_over_when_the_first_is_gone(cache: Path) -> None:
    first, second = (Trials(cache, PATIENT, FEATURES) for _ in range(2))
    first.prepare()
    second.prepare()
    assert len(standing_by()) == 1
    first.close()
    assert standing_by() == []
    second.run(version(cache), 1)
    second.close()
    assert standing_by() == []


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


def test_other_features_are_refused(cache: Path) -> None:
    trials = Trials(cache, PATIENT, FEATURES.remove(1))
    with pytest.raises(RegistryError, match="model input 'items' has no feature column"):
        trials.run(version(cache), 1)
    trials.close()


def test_a_version_that_hangs_is_ended(cache: Path) -> None:
    impatient = Registry(name="m", trial=timedelta(seconds=15))
    trials = Trials(cache, impatient, FEATURES)
    trials.prepare()
    path = version(cache, "hangs", rows=100)
    hanging = standing_by()
    with pytest.raises(RegistryError, match="it has not loaded and predicted within 15 s"):
        trials.run(path, 1)
    assert not hanging[0].is_running()
    trials.close()


def test_a_version_that_kills_its_process_is_refused(cache: Path, trials: Trials) -> None:
    trials.prepare()
    standing_by()[0].kill()
    with pytest.raises(RegistryError, match="ended with code -9"):
        trials.run(version(cache), 1)
