"""A TensorFlow function in the worker's own process, called with one tensor a column."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from driftline.errors import RegistryError
from registry import columns
from registry.runtime import Tensor, score


class InProcess:
    """A loaded TensorFlow function; a loader makes one with `of`.

    Parameters:
        function: a concrete function of named tensors.
        inputs: its inputs.
        outputs: its outputs.
        owner: the loaded model; a concrete function holds its variables only weakly.
    """

    def __init__(
        self,
        function: Callable[..., Mapping[str, Any]],
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        owner: object,
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._function = function
        self._owner = owner

    @classmethod
    def of(cls, concrete: Any, owner: object, what: str) -> "InProcess":
        """A concrete function of named tensors, run once so that the first batch is not slow.

        Parameters:
            what: names the model in errors.

        Raises:
            RegistryError: its inputs are not columns, or its outputs are not rows of numbers.
        """
        inputs = _tensors(concrete.structured_input_signature[1])
        for name, tensor in inputs.items():
            if None in tensor.shape:
                raise RegistryError(
                    f"model input {name!r} of {what} has rows of shape {tensor.shape}: export a "
                    "signature with one input of a known shape for each feature column, such as "
                    "(None,), (None, 1) or (None, 28, 28)"
                )
        model = cls(concrete, inputs, _tensors(concrete.structured_outputs), owner)
        check_outputs(model.predict(columns.blank_for(inputs)), what)
        return model

    def check(self, features: pa.Schema) -> None:
        """See `Runtime.check`."""
        columns.check(self.inputs, features)

    def unusable(self, features: pa.RecordBatch) -> tuple[npt.NDArray[np.bool_], Sequence[str]]:
        """See `Runtime.unusable`."""
        return columns.unusable(self.inputs, features)

    def predict(self, features: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        """See `Runtime.predict`; a missing number is NaN to the model, a missing text is empty."""
        import tensorflow as tf  # noqa: PLC0415 - heavy

        tensors = {
            name: tf.constant(columns.values(features.column(name), tensor))
            for name, tensor in self.inputs.items()
        }
        results = self._function(**tensors)
        return {
            name: results[name].numpy()
            if tensor.dtype.kind != "O"
            else columns.texts(results[name].numpy())
            for name, tensor in self.outputs.items()
        }


def check_outputs(outputs: Mapping[str, npt.NDArray[Any]], what: str) -> None:
    """See that one row in gave one row of each output, with a score among them.

    Raises:
        RegistryError: naming the output.
    """
    for name, values in outputs.items():
        if values.shape[:1] != (1,):
            raise RegistryError(
                f"output {name!r} of {what} has shape {values.shape} for one row: its first "
                "dimension must be the row"
            )
    score(outputs)


def start() -> None:
    """Import TensorFlow for a worker, with one thread.

    A batch of 10,000 rows is 1.5 times faster so, and the JVM and the database need the other
    cores.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf  # noqa: PLC0415 - heavy

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return  # TensorFlow has started already: a later version in the same process


def _tensors(specs: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape[1:]))
        for name, spec in sorted(specs.items())
    }
