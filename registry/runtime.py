"""What a loaded model version can do, whatever runs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from driftline import names
from driftline.errors import RegistryError


@dataclass(frozen=True)
class Tensor:
    """One input or output of a model.

    Attributes:
        dtype: of numpy; `object` for text.
        shape: without the batch dimension: () or (1,) for a number or text in a column, else a
            tensor, such as (28, 28).
    """

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


class Runtime(Protocol):
    """A loaded model version."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    def check(self, features: pa.Schema) -> None:
        """Raise `RegistryError` unless every input has a feature column of a type that fits."""

    def unusable(self, features: pa.RecordBatch) -> tuple[npt.NDArray[np.bool_], Sequence[str]]:
        """Rows that lack an input that may not be missing.

        Returns:
            bool[n], true for such rows, and the names of the columns at fault.
        """

    def predict(self, features: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        """The outputs by name, each with n rows; columns that are no inputs are ignored."""

    def hurried(self) -> Self:
        """The same version for those who can do without: it soon says that its server is away."""


def score(outputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """The monitored score: the output named `score`, else the first of numbers; a row's first.

    Raises:
        RegistryError: there is none.

    >>> score({"late": np.array([[0.25], [0.5]], np.float32)})
    array([0.25, 0.5 ])
    """
    numbers = [name for name, values in outputs.items() if values.dtype.kind in "fiub"]
    if not numbers or (names.SCORE in outputs and names.SCORE not in numbers):
        raise RegistryError(
            f"the model's outputs {', '.join(map(repr, outputs))} hold no score: give it an "
            f"output of numbers, named {names.SCORE!r} where there are more"
        )
    values = outputs[names.SCORE if names.SCORE in numbers else numbers[0]]
    while values.ndim > 1:
        values = values[:, 0]
    return values.astype(np.float64)
