"""The interface of a loaded model version, independent of what runs it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from driftline import names
from driftline.config import Score
from driftline.errors import RegistryError

_DEFAULT = Score()


@dataclass(frozen=True)
class Tensor:
    """One input or output of a model.

    Attributes:
        dtype: a numpy type; `object` for text.
        shape: without the batch dimension: () or (1,) for one number or text a row, otherwise the
            shape of a tensor, such as (28, 28).
    """

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


class Runtime(Protocol):
    """A loaded model version.

    Attributes:
        inputs, outputs: by name.
        score: which number of the outputs is monitored.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    score: Score

    def check(self, features: pa.Schema) -> None:
        """Raise `RegistryError` unless every input has a feature column of a type that fits."""

    def unusable(self, features: pa.RecordBatch) -> tuple[npt.NDArray[np.bool_], Sequence[str]]:
        """Rows in which a required input is missing or out of range, see `columns.unusable`.

        Returns:
            bool[n], true for such rows, and the names of the columns that cause it.
        """

    def predict(self, features: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        """The outputs by name, each with n rows; columns that are not inputs are ignored."""

    def fail_fast(self) -> Self:
        """The same version for optional roles: an unavailable model server soon raises an error."""


def score(
    outputs: Mapping[str, npt.NDArray[Any]], chosen: Score = _DEFAULT
) -> npt.NDArray[np.float64]:
    """The monitored score, float64[n]: one number for each of n rows.

    Parameters:
        outputs: by name, each with n rows.
        chosen: the output (default: the one named `score`, otherwise the first numeric one), and
            the index of the number if a row has several.

    Raises:
        RegistryError: there is no such number, or there are several and none is chosen.

    >>> score({"late": np.array([[0.25], [0.5]], np.float32)})
    array([0.25, 0.5 ])
    >>> score({"classes": np.array([[0.9, 0.1]])}, Score(index=1))
    array([0.1])
    """
    name = _score_output(outputs, chosen.output)
    values = outputs[name]
    width = math.prod(values.shape[1:])
    if chosen.index is None and width > 1:
        raise RegistryError(
            f"the model's output {name!r} has {width} numbers per row: select the score in "
            f"driftline.yaml, such as registry: {{score: {{output: {name}, index: {width - 1}}}}}"
        )
    index = chosen.index or 0
    if index >= width:
        raise RegistryError(
            f"registry.score.index is {index}, but the model's output {name!r} has {width} "
            f"number{'s' * (width != 1)} per row: use an index from 0 to {width - 1}"
        )
    return values.reshape(len(values), width)[:, index].astype(np.float64)


def _score_output(outputs: Mapping[str, npt.NDArray[Any]], chosen: str | None) -> str:
    """The name of the output that holds the score."""
    numeric = [name for name, values in outputs.items() if values.dtype.kind in "fiub"]
    if chosen is not None:
        if chosen not in numeric:
            raise RegistryError(
                f"registry.score.output is {chosen!r}, but the model has no numeric output of that "
                f"name (available: {', '.join(map(repr, numeric)) or 'none'})"
            )
        return chosen
    if not numeric or (names.SCORE in outputs and names.SCORE not in numeric):
        raise RegistryError(
            f"none of the model's outputs {', '.join(map(repr, outputs))} can be the score: add a "
            f"numeric output, and name it {names.SCORE!r} if there are several"
        )
    return names.SCORE if names.SCORE in numeric else numeric[0]
