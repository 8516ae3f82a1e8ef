"""The folder of a model version: MLflow's own layout plus driftline's artifacts."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from driftline import names
from driftline.errors import RegistryError
from driftline.registry.files import mlmodel

MODEL = "tf2model"  # the SavedModel's folder, as in MLflow's own flavor
KERAS_DATA = "data"
KERAS = f"{KERAS_DATA}/model.keras"  # the Keras model's file, as in MLflow's own flavor
MANIFEST = "MLmodel"

DIGEST_TAG = "driftline.digest"
MODEL_DIGEST_TAG = "driftline.model_digest"  # without the files that registration adds
DEFINITION_TAG = "driftline.features"
BINNING_TAG = "driftline.binning"

_MODELS = {"saved_model": MODEL, "keras": KERAS}
# Old versions have neither sample nor blocks; a missing file does not change the digest.
_REFERENCE = (
    names.BINNING_ARTIFACT,
    names.REFERENCE_ARTIFACT,
    names.REFERENCE_SAMPLE_ARTIFACT,
    names.REFERENCE_BLOCKS_ARTIFACT,
)
_PICKLES = frozenset({".pkl", ".pickle", ".cloudpickle", ".joblib", ".dill"})
_FLAVORS = frozenset({"python_function", "tensorflow"})
#: Keys with which a flavor adds its own Python code.
_CODE = frozenset({"code", "model_code_path", "python_model", "cloudpickle_version"})
_DIGEST = re.compile(r"[0-9a-f]{64}")


def saved_model_folder(folder: Path) -> Path:
    """The SavedModel of a version's folder, or the folder itself if it is one.

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
    """The Keras model of a version's folder, or the path itself if it is one.

    Raises:
        RegistryError: there is none.
    """
    for path in (folder / KERAS, folder):
        if path.is_file():
            return path
    raise RegistryError(f"no Keras model ({KERAS}) in {str(folder)!r}: save it with model.save")


def kind(folder: Path) -> str:
    """The kind of model in a version's folder: `saved_model` or `keras`.

    Raises:
        RegistryError: there is none, or both.
    """
    kinds = [kind for kind, path in _MODELS.items() if (folder / path).exists()]
    if len(kinds) > 1:
        raise RegistryError(f"{str(folder)!r} contains a SavedModel and a Keras model: remove one")
    if not kinds:
        raise RegistryError(f"no model in {str(folder)!r}: it has neither {MODEL} nor {KERAS}")
    return kinds[0]


def copy_model(source: Path, folder: Path) -> None:
    """Copy a model to its place in a version's folder.

    Parameters:
        source: a SavedModel, a `.keras` file, or the folder of an MLflow model with either.
        folder: the version's folder.

    Raises:
        RegistryError: there is no model, it could run code, or it has files outside its folder.
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
        problem = "is not a .keras file" if source.exists() else "does not exist"
        raise RegistryError(
            f"{str(source)!r} {problem}: use a SavedModel's folder, a .keras file, or an MLflow "
            "URI such as runs:/ID/model"
        )
    if (source / MANIFEST).is_file() and (source / KERAS).is_file():
        return source / KERAS
    return saved_model_folder(source)


def is_digest(text: str) -> bool:
    """Whether a text has the form of a digest; a tag in the registry can be any text.

    >>> is_digest("0" * 64), is_digest("/../../../.ssh")
    (True, False)
    """
    return _DIGEST.fullmatch(text) is not None


def digest(folder: Path) -> str:
    """sha256 over the files of a version that a job loads: the model, the binning, the reference.

    Parameters:
        folder: the version's folder.
    """
    model = folder / _MODELS[kind(folder)]
    files = [path for path in sorted((model, *model.rglob("*"))) if path.is_file()]
    files += [folder / name for name in _REFERENCE]
    total = hashlib.sha256()
    for path in files:
        if path.is_file():
            with path.open("rb") as content:
                file_digest = hashlib.file_digest(content, "sha256").hexdigest()
            total.update(f"{path.relative_to(folder).as_posix()} {file_digest}\n".encode())
    return total.hexdigest()


def refuse_links(folder: Path) -> None:
    """Refuse symbolic links and special files: reading a pipe would block forever.

    Raises:
        RegistryError: there is one.
    """
    for path in _walk(folder):
        if path.is_symlink():
            raise RegistryError(
                f"model file {str(path)!r} is a symbolic link: replace it with a copy of its target"
            )
        if not (path.is_file() or path.is_dir()):
            raise RegistryError(f"model file {str(path)!r} is not a regular file: remove it")


def _walk(folder: Path) -> Iterator[Path]:
    yield folder
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))


def refuse_code(folder: Path) -> None:
    """Refuse a version whose files could run their own code when they are loaded.

    Raises:
        RegistryError: there is a pickle, bundled code, or a loader other than TensorFlow's.
    """
    pickles = [path for path in folder.rglob("*") if path.suffix.lower() in _PICKLES]
    if pickles:
        raise RegistryError(
            f"model file {pickles[0].name!r} is a pickle, which can run code when it is loaded: "
            "register a TensorFlow SavedModel, or a Keras model without custom objects"
        )
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise RegistryError(f"no {MANIFEST} in {str(folder)!r}: register the model with driftline")
    flavors = mlmodel.flavors(manifest)
    loader = flavors.get("python_function", {}).get("loader_module")
    if loader != "mlflow.tensorflow" or "tensorflow" not in flavors:
        raise RegistryError(
            f"the model's loader is {loader!r}: only TensorFlow and Keras models are supported"
        )
    if unsupported := sorted(map(str, flavors.keys() - _FLAVORS)):
        raise RegistryError(
            f"the model also has the flavor {unsupported[0]!r}: only TensorFlow and Keras models "
            "are supported, log it without other flavors"
        )
    if any(flavor.get(key) for flavor in flavors.values() for key in _CODE):
        raise RegistryError("the model contains its own Python code: register it without the code")
