"""TensorFlow SavedModels, run through their serving signature."""

from pathlib import Path

from driftline.config import Score
from driftline.errors import RegistryError
from driftline.registry.files.layout import saved_model_folder
from driftline.registry.loaders.in_process import InProcess, start
from driftline.registry.safety.saved_model_graph import refuse_unsafe

SIGNATURE = "serving_default"


def load(folder: Path, score: Score | None = None) -> InProcess:
    """Load a version's SavedModel.

    Args:
        folder: of the version, as `driftline.registry.files.cache.fetch` gives it, or a SavedModel.
        score: which number of its outputs is monitored.

    Raises:
        RegistryError: there is no SavedModel, it reaches outside its folder, or its signature is
            not of columns.
    """
    start()
    import tensorflow as tf

    path = saved_model_folder(folder)
    refuse_unsafe(path)
    try:
        owner = tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise RegistryError(f"can't load the SavedModel in {str(path)!r}: {error}") from error
    if SIGNATURE not in owner.signatures:
        known = ", ".join(owner.signatures) or "none"
        raise RegistryError(
            f"the SavedModel in {str(path)!r} has no signature {SIGNATURE!r} (there: {known}): "
            "export it with Keras' model.export, or with signatures="
        )
    what = f"the SavedModel in {str(path)!r}"
    return InProcess.of(owner.signatures[SIGNATURE], owner, what, score or Score())
