"""Keras 3 models (`.keras`), run as one compiled TensorFlow function.

`model.predict` costs 60 ms a call; the function costs what its operations do.
"""

from pathlib import Path
from typing import Any

from driftline.config import Score
from driftline.errors import RegistryError
from driftline.registry.files.layout import keras_file
from driftline.registry.loaders.in_process import InProcess, import_without, start
from driftline.registry.safety.keras_archive import refuse_unsafe


def load(folder: Path, score: Score | None = None) -> InProcess:
    """Load a version's Keras model, without its training state.

    Args:
        folder: of the version, as `registry.files.cache.fetch` gives it, or a `.keras` file.
        score: which number of its outputs is monitored.

    Raises:
        RegistryError: there is no such file, it could run code or read other files, it cannot be
            loaded, or its inputs are not columns.
    """
    path = keras_file(folder)
    refuse_unsafe(path)
    start()
    import_without("keras", "matplotlib", "sklearn")  # of use for its plots and its wrappers
    import keras
    import tensorflow as tf

    what = f"the Keras model in {str(path)!r}"
    if keras.backend.backend() != "tensorflow":
        raise RegistryError(
            f"Keras runs on {keras.backend.backend()!r} here: unset KERAS_BACKEND, or set it to "
            "tensorflow"
        )
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        structure = model.inputs if isinstance(model, keras.Sequential) else model.input
        inputs, outputs = _names(structure, what), _output_names(model)
    except RegistryError:
        raise
    except Exception as error:  # Keras raises whatever a layer's own code does
        reason = " ".join(str(error).split())[:500]  # its first line says little
        raise RegistryError(f"can't load {what}: {type(error).__name__}: {reason}") from error

    def call(**named: Any) -> dict[str, Any]:
        result = model(_structured(inputs, named), training=False)
        if isinstance(result, dict):
            return result
        results = result if isinstance(result, list | tuple) else [result]
        return dict(zip(outputs, results, strict=True))

    tensors = _by_name(inputs, structure)
    specs = {
        name: tf.TensorSpec(tensor.shape, tensor.dtype, name) for name, tensor in tensors.items()
    }
    try:
        concrete = tf.function(call).get_concrete_function(**specs)
    except Exception as error:  # as above
        raise RegistryError(f"can't compile {what}: {type(error).__name__}: {error}") from error
    return InProcess.of(concrete, (model, concrete), what, score or Score())


def _names(structure: Any, what: str) -> Any:
    """The names of the inputs, in the structure that the model takes them in."""
    if isinstance(structure, dict):
        found: Any = {key: key for key in structure}
        leaves = list(structure.values())
    else:
        leaves = list(structure) if isinstance(structure, list | tuple) else [structure]
        found = [tensor.name for tensor in leaves]
    if any(not hasattr(tensor, "shape") for tensor in leaves):
        raise RegistryError(f"the inputs of {what} are nested: give it one input a column")
    return found


def _structured(names: Any, named: dict[str, Any]) -> Any:
    if isinstance(names, dict):
        return {name: named[name] for name in names}
    tensors = [named[name] for name in names]
    return tensors if len(tensors) > 1 else tensors[0]


def _by_name(names: Any, structure: Any) -> dict[str, Any]:
    if isinstance(structure, dict):
        return structure
    leaves = structure if isinstance(structure, list | tuple) else [structure]
    return dict(zip(names, leaves, strict=True))


def _output_names(model: Any) -> list[str]:
    """Of outputs that the model does not name itself: those of the layers that give them."""
    known = getattr(model, "output_names", None)
    return list(known) if known else [model.layers[-1].name]
