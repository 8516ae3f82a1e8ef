"""Keras 3 models (`.keras`), run as one compiled TensorFlow function.

`model.predict` has an overhead of 60 ms a call; the compiled function has almost none.
"""

from pathlib import Path
from typing import Any

from driftline.config import Score
from driftline.errors import RegistryError
from driftline.registry.files.layout import keras_file
from driftline.registry.loaders.in_process import InProcess, import_tensorflow, import_without
from driftline.registry.safety.keras_archive import refuse_unsafe


def load(folder: Path, score: Score | None = None) -> InProcess:
    """Load a version's Keras model, without its training state.

    Parameters:
        folder: the version's folder, from `registry.files.cache.fetch`, or a `.keras` file.
        score: which number of the outputs is monitored.

    Raises:
        RegistryError: there is no such file, it could run code or read other files, it cannot be
            loaded, or an input is not a column.
    """
    path = keras_file(folder)
    refuse_unsafe(path)
    import_tensorflow()
    import_without("keras", "matplotlib", "sklearn")  # only needed for plots and wrappers
    import keras
    import tensorflow as tf

    source = f"the Keras model in {str(path)!r}"
    if keras.backend.backend() != "tensorflow":
        raise RegistryError(
            f"the Keras backend is {keras.backend.backend()!r}: unset KERAS_BACKEND, or set it to "
            "tensorflow"
        )
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        structure = model.inputs if isinstance(model, keras.Sequential) else model.input
        inputs, outputs = _input_names(structure, source), _output_names(model)
    except RegistryError:
        raise
    except Exception as error:  # a layer's own code may raise anything
        reason = " ".join(str(error).split())[:500]  # the first line alone is rarely informative
        raise RegistryError(f"can't load {source}: {type(error).__name__}: {reason}") from error

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
        raise RegistryError(f"can't compile {source}: {type(error).__name__}: {error}") from error
    return InProcess.from_function(concrete, (model, concrete), source, score or Score())


def _input_names(structure: Any, source: str) -> Any:
    """The names of the inputs, in the structure in which the model takes them."""
    if isinstance(structure, dict):
        names: Any = {key: key for key in structure}
        leaves = list(structure.values())
    else:
        leaves = list(structure) if isinstance(structure, list | tuple) else [structure]
        names = [tensor.name for tensor in leaves]
    if any(not hasattr(tensor, "shape") for tensor in leaves):
        raise RegistryError(f"the inputs of {source} are nested: use one input per column")
    return names


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
    """The model's own names of its outputs; without any, the name of the last layer."""
    output_names = getattr(model, "output_names", None)
    return list(output_names) if output_names else [model.layers[-1].name]
