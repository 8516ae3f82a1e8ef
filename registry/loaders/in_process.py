"""A TensorFlow function in the worker's own process, called with one tensor a column."""

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from driftline.config import Score
from driftline.errors import RegistryError
from driftline.registry import columns
from driftline.registry.loaders.shared_inputs import shared
from driftline.registry.runtime import Tensor, score

#: Rows of the batches that a new model is tried with: a constant is as long as one of them at most.
_TRIED = (1, 3)


class InProcess:
    """A loaded TensorFlow function; a loader makes one with `of`.

    Numbers of one type and shape go into TensorFlow together and are taken apart inside: a tensor
    a column would cost as much as a small model. To stack texts costs more than it saves.

    Parameters:
        concrete: a concrete function of named tensors.
        inputs: its inputs.
        outputs: its outputs.
        owner: the loaded model; a concrete function holds its variables only weakly.
        score: which number of the outputs is monitored.
    """

    def __init__(
        self,
        concrete: Callable[..., Mapping[str, Any]],
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        owner: object,
        score: Score,
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._texts = [name for name, tensor in inputs.items() if tensor.dtype.kind == "O"]
        self._groups = _groups(inputs)
        self._function = _together(concrete, self._groups, {n: inputs[n] for n in self._texts})
        self._owner = owner
        self.score = score

    @classmethod
    def of(cls, concrete: Any, owner: object, what: str, chosen: Score) -> "InProcess":
        """A concrete function of named tensors, run once so that the first batch is not slow.

        Parameters:
            what: names the model in errors.
            chosen: which number of the outputs is monitored.

        Raises:
            RegistryError: its inputs are not columns, its outputs are not rows of numbers, or none
                of them is the score.
        """
        inputs = _tensors(concrete.structured_input_signature[1], f"input of {what}")
        outputs = _tensors(concrete.structured_outputs, f"output of {what}")
        for name, tensor in inputs.items():
            if None in tensor.shape:
                raise RegistryError(
                    f"model input {name!r} of {what} has rows of shape {tensor.shape}: export a "
                    "signature with one input of a known shape for each feature column, such as "
                    "(None,), (None, 1) or (None, 28, 28)"
                )
        model = cls(concrete, inputs, outputs, owner, chosen)
        for rows in _TRIED:
            found = model._outputs(columns.blank_for(inputs, rows))
            _check_rows(found, what, rows)
            score(found, chosen)
        return model

    def check(self, features: pa.Schema) -> None:
        """See `Runtime.check`."""
        columns.check(self.inputs, features)

    def unusable(self, features: pa.RecordBatch) -> tuple[npt.NDArray[np.bool_], Sequence[str]]:
        """See `Runtime.unusable`."""
        return columns.unusable(self.inputs, features)

    def predict(self, features: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        """See `Runtime.predict`; a missing number is NaN to the model, a missing text is empty.

        Raises:
            RegistryError: an output has not one row for each of these.
        """
        outputs = self._outputs(features)
        _check_rows(outputs, "the model", features.num_rows)
        return outputs

    def hurried(self) -> Self:
        """See `Runtime.hurried`; there is no server."""
        return self

    def _outputs(self, features: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        stacks = [_stack(features, names, tensor) for tensor, names in self._groups.items()]
        texts = [_text(features, name, self.inputs[name]) for name in self._texts]
        results = self._function(*stacks, *texts)
        return {
            name: results[name].numpy()
            if tensor.dtype.kind != "O"
            else columns.texts(np.asarray(results[name].numpy(), object))  # one text is no array
            for name, tensor in self.outputs.items()
        }


def _stack(features: pa.RecordBatch, names: Sequence[str], tensor: Tensor) -> Any:
    import tensorflow as tf

    key = (*names, tensor)
    return shared(features, key, lambda: tf.constant(columns.stacked(features, names, tensor)))


def _text(features: pa.RecordBatch, name: str, tensor: Tensor) -> Any:
    import tensorflow as tf

    return shared(
        features,
        (name, tensor),
        lambda: tf.constant(columns.values(features.column(name), tensor), tf.string),
    )


def _check_rows(outputs: Mapping[str, npt.NDArray[Any]], what: str, rows: int) -> None:
    for name, values in outputs.items():
        if values.shape[:1] != (rows,):
            given = "one row" if rows == 1 else f"{rows} rows"
            raise RegistryError(
                f"output {name!r} of {what} has shape {values.shape} for {given}: its first "
                "dimension must be the row"
            )


def start() -> None:
    """Import TensorFlow for a worker, with one thread.

    A batch of 10,000 rows is 1.5 times faster so, and the JVM and the database need the other
    cores. A SavedModel needs no Keras, which takes almost half of the start.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # it loads Keras by this, so that Keras' optimizers can be found in a SavedModel
    import_without("tensorflow", "keras.src.optimizers", "h5py", "scipy")
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return  # TensorFlow has started already: a later version in the same process


def import_without(module: str, *optional: str) -> None:
    """Import a module as if what it can do without, and is slow to import, were not installed."""
    if module in sys.modules:
        return
    absent = [name for name in optional if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: not importable
    try:
        importlib.import_module(module)
    finally:
        for name in absent:
            del sys.modules[name]


def _groups(inputs: Mapping[str, Tensor]) -> dict[Tensor, list[str]]:
    """The names of the inputs of each type and shape, but text."""
    groups: dict[Tensor, list[str]] = {}
    for name, tensor in inputs.items():
        if tensor.dtype.kind != "O":
            groups.setdefault(tensor, []).append(name)
    return groups


def _together(
    concrete: Callable[..., Mapping[str, Any]],
    groups: Mapping[Tensor, list[str]],
    texts: Mapping[str, Tensor],
) -> Callable[..., Mapping[str, Any]]:
    """The function of one tensor (inputs, rows, *shape) a group, then one (rows, *shape) a text."""
    import tensorflow as tf

    def call(*tensors: Any) -> Mapping[str, Any]:
        named = dict(zip(texts, tensors[len(groups) :], strict=True))
        for names, stack in zip(groups.values(), tensors[: len(groups)], strict=True):
            named |= zip(names, tf.unstack(stack, num=len(names)), strict=True)
        return concrete(**named)

    stacks = [
        tf.TensorSpec((len(names), None, *tensor.shape), tf.as_dtype(tensor.dtype))
        for tensor, names in groups.items()
    ]
    rest = [tf.TensorSpec((None, *tensor.shape), tf.string) for tensor in texts.values()]
    compiled = tf.function(call).get_concrete_function(*stacks, *rest)
    captured = compiled.captured_inputs

    def run(*tensors: Any) -> Mapping[str, Any]:
        # what `compiled(*tensors)` does once it has bound and cast them, a third of its own time
        outputs: Mapping[str, Any] = compiled.inference_fn.call_preflattened([*tensors, *captured])
        return outputs

    return run


def _tensors(specs: Mapping[str, Any], kind: str) -> dict[str, Tensor]:
    for name, spec in specs.items():
        if spec.shape.rank is None:
            raise RegistryError(
                f"{kind} {name!r} has an unknown number of dimensions: give it a shape, such as "
                "(None,) or (None, 1), with tf.ensure_shape or in the signature"
            )
    return {
        name: Tensor(np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape[1:]))
        for name, spec in sorted(specs.items())
    }
