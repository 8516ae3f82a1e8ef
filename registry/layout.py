"""The folder of a model version: MLflow's own layout, with driftline's artifacts inside."""

import hashlib
from pathlib import Path

import yaml

from driftline import names
from driftline.errors import RegistryError

MODEL = "tf2model"  # the SavedModel, where MLflow's own flavor puts it
MANIFEST = "MLmodel"

DIGEST_TAG = "driftline.digest"
DEFINITION_TAG = "driftline.features"
BINNING_TAG = "driftline.binning"

_PICKLES = frozenset({".pkl", ".pickle", ".cloudpickle", ".joblib", ".dill"})


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


def digest(folder: Path) -> str:
    """sha256 over all that a job loads of a version: the SavedModel, the binning, the reference.

    Args:
        folder: of the version.
    """
    model = saved_model_folder(folder)
    files = [path for path in sorted(model.rglob("*")) if path.is_file()]
    files += [folder / names.BINNING_ARTIFACT, folder / names.REFERENCE_ARTIFACT]
    total = hashlib.sha256()
    for path in files:
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return total.hexdigest()


def refuse_code(folder: Path) -> None:
    """Refuse a version whose files could run code of their own when loaded.

    Raises:
        RegistryError: a pickle, a bundled code folder, or a loader other than TensorFlow's.
    """
    pickles = [path for path in folder.rglob("*") if path.suffix in _PICKLES]
    if pickles:
        raise RegistryError(
            f"model file {pickles[0].name!r} is a pickle, which runs code when it is loaded: "
            "register a TensorFlow SavedModel"
        )
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise RegistryError(f"no {MANIFEST} in {str(folder)!r}: register the model with driftline")
    flavors = yaml.safe_load(manifest.read_text()).get("flavors", {})
    loader = flavors.get("python_function", {}).get("loader_module")
    if loader != "mlflow.tensorflow" or "tensorflow" not in flavors:
        raise RegistryError(
            f"the model's loader is {loader!r}: only TensorFlow SavedModels are loaded"
        )
    if any(flavor.get("code") for flavor in flavors.values()):
        raise RegistryError("the model brings Python code of its own: register it without it")
