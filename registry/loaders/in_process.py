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
from driftline.registry.loaders.shared_inputs import shared_input
from driftline.registry.runtime import Tensor, score

#: Sizes of the batches that test a new model: an output of constant length fits at most one.
_TEST_BATCHES = (1, 3)


class InProcess:
    """A loaded TensorFlow function; loaders create it with `from_function`.

    Numeric columns of one type and shape go into TensorFlow as one stacked tensor: one tensor for
    each column would cost as much as a small model. Stacking texts costs more than it saves.

    Parameters:
        concrete: a concrete function of named tensors.
        inputs: its inputs.
        outputs: its outputs.
        owner: the loaded model, kept alive; a concrete function holds its variables only weakly.
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
        self._function = _compile(concrete, self._groups, {n: inputs[n] for n in self._texts})
        self._owner = owner
        self.score = score

    @classmethod
    def from_function(cls, concrete: Any, owner: object, source: str, chosen: Score) -> "InProcess":
        """A concrete function of named tensors, run once so that the first batch is not slow.

        Parameters:
            source: what was loaded from where, for errors.
            chosen: which number of the outputs is monitored.

        Raises:
            RegistryError: an input is not a column, an output lacks rows, or none is the score.
        """
        inputs = _tensors(concrete.structured_input_signature[1], f"input of {source}")
        outputs = _tensors(concrete.structured_outputs, f"output of {source}")
        for name, tensor in inputs.items():
            if None in tensor.shape:
                raise RegistryError(
                    f"model input {name!r} of {source} has rows of shape {tensor.shape}: "
                    "export a signature with one input of a known shape for each feature column, "
                    "such as (None,), (None, 1) or (None, 28, 28)"
                )
        model = cls(concrete, inputs, outputs, owner, chosen)
        for rows in _TEST_BATCHES:
            predicted = model._predict(columns.blank_for(inputs, rows))
            _check_rows(predicted, source, rows)
            score(predicted, chosen)
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
            RegistryError: an output does not have exactly one row for each input row.
        """
        outputs = self._predict(features)
        _check_rows(outputs, "the model", features.num_rows)
        return outputs

    def fail_fast(self) -> Self:
        """See `Runtime.fail_fast`; there is no server to wait for."""
        return self

    def _predict(self, features: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        stacks = [_stack(features, names, tensor) for tensor, names in self._groups.items()]
        texts = [_text(features, name, self.inputs[name]) for name in self._texts]
        results = self._function(*stacks, *texts)
        return {
            name: results[name].numpy()
            if tensor.dtype.kind != "O"
            # a single text is not an array
            else columns.texts(np.asarray(results[name].numpy(), object))
            for name, tensor in self.outputs.items()
        }


def _stack(features: pa.RecordBatch, names: Sequence[str], tensor: Tensor) -> Any:
    import tensorflow as tf

    key = (*names, tensor)
    stack = columns.stacked
    return shared_input(features, key, lambda: tf.constant(stack(features, names, tensor)))


def _text(features: pa.RecordBatch, name: str, tensor: Tensor) -> Any:
    import tensorflow as tf

    return shared_input(
        features,
        (name, tensor),
        lambda: tf.constant(columns.values(features.column(name), tensor), tf.string),
    )


def _check_rows(outputs: Mapping[str, npt.NDArray[Any]], source: str, rows: int) -> None:
    for name, values in outputs.items():
        if values.shape[:1] != (rows,):
            inputs = "one row" if rows == 1 else f"{rows} rows"
            raise RegistryError(
                f"output {name!r} of {source} has shape {values.shape} for {inputs}: its "
                "first dimension must be the row"
            )


def import_tensorflow() -> None:
    """Import TensorFlow for a worker, limited to one thread.

    A batch of 10,000 rows is 1.5 times faster with one thread, and the JVM and the database need
    the other cores. A SavedModel does not need Keras, whose import takes almost half of the time.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow imports Keras through this module, to find Keras' optimizers in a SavedModel
    import_without("tensorflow", "keras.src.optimizers", "h5py", "scipy")
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return  # TensorFlow is already running: a later version in the same process


def import_without(module: str, *optional: str) -> None:
    """Import a module as if its optional dependencies, which are slow to import, were missing."""
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
    """The names of the non-text inputs of each type and shape."""
    groups: dict[Tensor, list[str]] = {}
    for name, tensor in inputs.items():
        if tensor.dtype.kind != "O":
            groups.setdefault(tensor, []).append(name)
    return groups


def _compile(
    concrete: Callable[..., Mapping[str, Any]],
    groups: Mapping[Tensor, list[str]],
    texts: Mapping[str, Tensor],
) -> Callable[..., Mapping[str, Any]]:
    """A function of a tensor (inputs, rows, *shape) per group, then a (rows, *shape) per text."""
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
    text_specs = [tf.TensorSpec((None, *tensor.shape), tf.string) for tensor in texts.values()]
    compiled = tf.function(call).get_concrete_function(*stacks, *text_specs)
    captured = compiled.captured_inputs

    def run(*tensors: Any) -> Mapping[str, Any]:
        # the last step of `compiled(*tensors)`: skips binding and casting, a third of its overhead
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
