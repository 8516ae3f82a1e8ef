"""What a loaded model version can do, whatever runs it."""

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
        dtype: of numpy; `object` for text.
        shape: without the batch dimension: () or (1,) for a number or text in a column, else a
            tensor, such as (28, 28).
    """

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


class Runtime(Protocol):
    """A loaded model version.

    Attributes:
        inputs: by name.
        outputs: by name.
        score: which number of the outputs is monitored.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    score: Score

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


def score(
    outputs: Mapping[str, npt.NDArray[Any]], chosen: Score = _DEFAULT
) -> npt.NDArray[np.float64]:
    """The monitored score, float64[n]: one number of each of n rows.

    Parameters:
        outputs: by name, each with n rows.
        chosen: the output, by default the one named `score`, else the first of numbers; and which
            of its numbers, where a row has several.

    Raises:
        RegistryError: there is no such number, or several and none is chosen.

    >>> score({"late": np.array([[0.25], [0.5]], np.float32)})
    array([0.25, 0.5 ])
    >>> score({"classes": np.array([[0.9, 0.1]])}, Score(index=1))
    array([0.1])
    """
    name = _scored(outputs, chosen.output)
    values = outputs[name]
    width = math.prod(values.shape[1:])
    if chosen.index is None and width > 1:
        raise RegistryError(
            f"the model's output {name!r} has {width} numbers a row: say which of them is the "
            f"score, in driftline.yaml: registry: {{score: {{output: {name}, index: {width - 1}}}}}"
        )
    at = chosen.index or 0
    if at >= width:
        raise RegistryError(
            f"registry.score.index is {at}, but the model's output {name!r} has {width} "
            f"number{'s' * (width != 1)} a row, counted from 0"
        )
    return values.reshape(len(values), width)[:, at].astype(np.float64)


def _scored(outputs: Mapping[str, npt.NDArray[Any]], chosen: str | None) -> str:
    """The name of the output that holds the score."""
    numbers = [name for name, values in outputs.items() if values.dtype.kind in "fiub"]
    if chosen is not None:
        if chosen not in numbers:
            there = ", ".join(map(repr, numbers)) or "none"
            raise RegistryError(
                f"registry.score.output is {chosen!r}, which is no output of numbers of the model "
                f"(there: {there})"
            )
        return chosen
    if not numbers or (names.SCORE in outputs and names.SCORE not in numbers):
        raise RegistryError(
            f"the model's outputs {', '.join(map(repr, outputs))} hold no score: give it an "
            f"output of numbers, named {names.SCORE!r} where there are more"
        )
    return names.SCORE if names.SCORE in numbers else numbers[0]
