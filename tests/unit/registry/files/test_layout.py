"""What a version's folder may hold."""

import shutil
from pathlib import Path

import pytest
import yaml

from driftline.errors import RegistryError
from driftline.registry.files import layout


def version(folder: Path, loader: str = "mlflow.tensorflow", **extra: object) -> Path:
    """A folder like a version's; its model is not loaded here."""
    (folder / layout.MODEL / "variables").mkdir(parents=True)
    (folder / layout.MODEL / "saved_model.pb").write_bytes(b"graph")
    (folder / layout.MODEL / "variables" / "variables.index").write_bytes(b"weights")
    (folder / "driftline").mkdir()
    (folder / "driftline" / "binning.json").write_text("{}")
    flavors = {"python_function": {"loader_module": loader}, "tensorflow": {}, **extra}
    (folder / layout.MANIFEST).write_text(yaml.safe_dump({"flavors": flavors}))
    return folder


@pytest.mark.parametrize(
    "changed", ["tf2model/variables/variables.index", "driftline/binning.json"]
)
def test_the_digest_covers_what_is_loaded(tmp_path: Path, changed: str) -> None:
    folder = version(tmp_path / "v")
    old_digest = layout.digest(folder)
    (folder / changed).write_text("other")
    assert layout.digest(folder) != old_digest


def test_the_digest_ignores_the_manifest(tmp_path: Path) -> None:
    folder = version(tmp_path / "v")
    old_digest = layout.digest(folder)
    (folder / layout.MANIFEST).write_text("flavors: {}")
    assert layout.digest(folder) == old_digest
    assert layout.digest(version(tmp_path / "w")) == old_digest


def test_an_ordinary_version_is_accepted(tmp_path: Path) -> None:
    layout.refuse_code(version(tmp_path / "v"))


@pytest.mark.parametrize("link", ["saved_model", "saved_model/variables/more", "m.keras"])
def test_a_link_to_another_place_is_refused(tmp_path: Path, link: str) -> None:
    real = version(tmp_path / "v") / layout.MODEL
    source = tmp_path / link.split("/", maxsplit=1)[0]
    if source.name != link:
        shutil.copytree(real, source)
    (tmp_path / "secret").write_text("x")
    target = real if link == "saved_model" else tmp_path / "secret"
    (tmp_path / link).symlink_to(target)
    with pytest.raises(RegistryError, match="is a symbolic link: replace it with a copy"):
        layout.copy_model(source, tmp_path / "placed")
    assert not (tmp_path / "placed").exists()


@pytest.mark.parametrize("name", ["python_model.pkl", "tf2model/x.cloudpickle", "a.joblib"])
def test_a_pickle_is_refused(tmp_path: Path, name: str) -> None:
    folder = version(tmp_path / "v")
    (folder / name).write_bytes(b"")
    with pytest.raises(RegistryError, match="is a pickle, which can run code when it is loaded"):
        layout.refuse_code(folder)


def test_another_loader_is_refused(tmp_path: Path) -> None:
    folder = version(tmp_path / "v", loader="mlflow.pyfunc.model")
    with pytest.raises(RegistryError, match=r"the model's loader is 'mlflow.pyfunc.model': only"):
        layout.refuse_code(folder)


def test_code_of_its_own_is_refused(tmp_path: Path) -> None:
    folder = version(tmp_path / "v", tensorflow={"code": "code"})
    with pytest.raises(RegistryError, match="the model contains its own Python code"):
        layout.refuse_code(folder)


def test_no_manifest(tmp_path: Path) -> None:
    folder = version(tmp_path / "v")
    (folder / layout.MANIFEST).unlink()
    with pytest.raises(RegistryError, match="no MLmodel in"):
        layout.refuse_code(folder)


@pytest.mark.parametrize("end", ["", ".5"])
def test_a_number_that_takes_long_to_read_is_refused(tmp_path: Path, end: str) -> None:
    """Of base 60: the time is the square of the length, and the fraction's range is exceeded."""
    folder = version(tmp_path / "v")
    (folder / layout.MANIFEST).write_text("flavors: {}\na: 1" + ":1" * 500 + end)
    with pytest.raises(RegistryError, match=r"can't read .*MLmodel.*looks like a date or number"):
        layout.refuse_code(folder)
