"""TensorFlow SavedModels, run through their serving signature."""

from pathlib import Path

from driftline.config import Score
from driftline.errors import RegistryError
from driftline.registry.files.layout import saved_model_folder
from driftline.registry.loaders.in_process import InProcess, import_tensorflow
from driftline.registry.safety.saved_model_graph import refuse_unsafe

SIGNATURE = "serving_default"


def load(folder: Path, score: Score | None = None) -> InProcess:
    """Load a version's SavedModel.

    Parameters:
        folder: the version's folder, from `driftline.registry.files.cache.fetch`, or a SavedModel.
        score: which number of the outputs is monitored.

    Raises:
        RegistryError: there is no SavedModel, it accesses files outside its folder, or an input of
            its signature is not a column.
    """
    import_tensorflow()
    import tensorflow as tf

    path = saved_model_folder(folder)
    refuse_unsafe(path)
    try:
        owner = tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise RegistryError(f"can't load the SavedModel in {str(path)!r}: {error}") from error
    if SIGNATURE not in owner.signatures:
        signatures = ", ".join(owner.signatures) or "none"
        raise RegistryError(
            f"the SavedModel in {str(path)!r} has no signature {SIGNATURE!r} (available: "
            f"{signatures}): export it with Keras' model.export, or pass signatures= to "
            "tf.saved_model.save"
        )
    source = f"the SavedModel in {str(path)!r}"
    return InProcess.from_function(owner.signatures[SIGNATURE], owner, source, score or Score())
