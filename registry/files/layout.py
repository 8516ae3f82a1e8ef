"""The folder of a model version: MLflow's own layout, with driftline's artifacts inside."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from driftline import names
from driftline.errors import RegistryError
from driftline.registry.files import mlmodel

MODEL = "tf2model"  # the SavedModel, where MLflow's own flavor puts it
KERAS_DATA = "data"
KERAS = f"{KERAS_DATA}/model.keras"  # the Keras model, likewise
MANIFEST = "MLmodel"

DIGEST_TAG = "driftline.digest"
MODEL_DIGEST_TAG = "driftline.model_digest"  # without what registering adds
DEFINITION_TAG = "driftline.features"
BINNING_TAG = "driftline.binning"

_MODELS = {"saved_model": MODEL, "keras": KERAS}
# Versions of earlier days have neither sample nor blocks; what is not there does not count.
_REFERENCE = (
    names.BINNING_ARTIFACT,
    names.REFERENCE_ARTIFACT,
    names.REFERENCE_SAMPLE_ARTIFACT,
    names.REFERENCE_BLOCKS_ARTIFACT,
)
_PICKLES = frozenset({".pkl", ".pickle", ".cloudpickle", ".joblib", ".dill"})
_FLAVORS = frozenset({"python_function", "tensorflow"})
#: Keys of a flavor with which it brings Python of its own.
_CODE = frozenset({"code", "model_code_path", "python_model", "cloudpickle_version"})
_DIGEST = re.compile(r"[0-9a-f]{64}")


def saved_model_folder(folder: Path) -> Path:
    """The SavedModel of a version's folder, or the folder itself when it is one.

    Raises:
        RegistryError: there is none.
    """
    for path in (folder / MODEL, folder):
        if (path / "saved_model.pb").is_file():
            return path
    raise RegistryError(
        f"no SavedModel (saved_model.pb) in {str(folder)!r}: "
        "export the model with Keras' model.export(path) or tf.saved_model.save"
    )


def keras_file(folder: Path) -> Path:
    """The Keras model of a version's folder, or the path itself when it is one.

    Raises:
        RegistryError: there is none.
    """
    for path in (folder / KERAS, folder):
        if path.is_file():
            return path
    raise RegistryError(f"no Keras model ({KERAS}) in {str(folder)!r}: save it with model.save")


def kind(folder: Path) -> str:
    """What a version's folder holds: `saved_model` or `keras`.

    Raises:
        RegistryError: nothing of the kind, or both.
    """
    found = [kind for kind, path in _MODELS.items() if (folder / path).exists()]
    if len(found) > 1:
        raise RegistryError(f"{str(folder)!r} holds a SavedModel and a Keras model: keep one")
    if not found:
        raise RegistryError(f"no model in {str(folder)!r}: neither {MODEL} nor {KERAS}")
    return found[0]


def place(source: Path, folder: Path) -> None:
    """Copy a model to where a version's folder has it.

    Args:
        source: a SavedModel, a `.keras` file, or the folder of an MLflow model with either.
        folder: of the version.

    Raises:
        RegistryError: there is no model, it could run code, or has files outside its folder.
    """
    if (source / MANIFEST).is_file():
        refuse_code(source)
    model = _model_of(source)
    refuse_links(model)
    if model.is_file():
        (folder / KERAS_DATA).mkdir(parents=True)
        shutil.copyfile(model, folder / KERAS)
    else:
        shutil.copytree(model, folder / MODEL)


def _model_of(source: Path) -> Path:
    if source.is_file() and source.suffix == ".keras":
        return source
    if not source.is_dir():
        problem = "is no .keras file" if source.exists() else "does not exist"
        raise RegistryError(
            f"{str(source)!r} {problem}: give a SavedModel's folder, a .keras file, or an MLflow "
            "URI such as runs:/ID/model"
        )
    if (source / MANIFEST).is_file() and (source / KERAS).is_file():
        return source / KERAS
    return saved_model_folder(source)


def is_digest(text: str) -> bool:
    """Whether a text is such as `digest` gives; a tag in the registry can be any text.

    >>> is_digest("0" * 64), is_digest("/../../../.ssh")
    (True, False)
    """
    return _DIGEST.fullmatch(text) is not None


def digest(folder: Path) -> str:
    """sha256 over all that a job loads of a version: the model, the binning, the reference.

    Args:
        folder: of the version.
    """
    model = folder / _MODELS[kind(folder)]
    files = [path for path in sorted((model, *model.rglob("*"))) if path.is_file()]
    files += [folder / name for name in _REFERENCE]
    total = hashlib.sha256()
    for path in files:
        if path.is_file():
            with path.open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
            total.update(f"{path.relative_to(folder).as_posix()} {found}\n".encode())
    return total.hexdigest()


def refuse_links(folder: Path) -> None:
    """Refuse files that are links, or no files at all: to read a pipe would never end.

    Raises:
        RegistryError: there is one.
    """
    for path in _all(folder):
        if path.is_symlink():
            raise RegistryError(
                f"model file {str(path)!r} is a link to another place: copy what it points to"
            )
        if not (path.is_file() or path.is_dir()):
            raise RegistryError(f"model file {str(path)!r} is no ordinary file: leave it out")


def _all(folder: Path) -> Iterator[Path]:
    yield folder
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))


def refuse_code(folder: Path) -> None:
    """Refuse a version whose files could run code of their own when loaded.

    Raises:
        RegistryError: a pickle, a bundled code folder, or a loader other than TensorFlow's.
    """
    pickles = [path for path in folder.rglob("*") if path.suffix.lower() in _PICKLES]
    if pickles:
        raise RegistryError(
            f"model file {pickles[0].name!r} is a pickle, which runs code when it is loaded: "
            "register a TensorFlow SavedModel, or a Keras model without objects of its own"
        )
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise RegistryError(f"no {MANIFEST} in {str(folder)!r}: register the model with driftline")
    flavors = mlmodel.flavors(manifest)
    loader = flavors.get("python_function", {}).get("loader_module")
    if loader != "mlflow.tensorflow" or "tensorflow" not in flavors:
        raise RegistryError(
            f"the model's loader is {loader!r}: only TensorFlow and Keras models are loaded"
        )
    if others := sorted(map(str, flavors.keys() - _FLAVORS)):
        raise RegistryError(
            f"the model also has the flavor {others[0]!r}: only TensorFlow and Keras models are "
            "loaded, log it without others"
        )
    if any(flavor.get(key) for flavor in flavors.values() for key in _CODE):
        raise RegistryError("the model brings Python code of its own: register it without it")
