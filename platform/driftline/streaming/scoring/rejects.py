"""The messages of a batch that cannot become predictions, each with its reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.records import REJECT

DETAIL_LIMIT = 500  # characters of an error message worth keeping


@dataclass(frozen=True)
class Reason:
    """Why one message was rejected: a stable code, and a sentence with the value in it."""

    code: str
    detail: str


class Rejects:
    """Collects rejected messages of a batch, by message; the first reason stays.

    Parameters:
        payloads: the values of the batch's n messages.
    """

    def __init__(self, payloads: Sequence[bytes | None]) -> None:
        self._payloads = payloads
        self._found: dict[int, Reason] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, message: int, code: str, detail: str) -> None:
        """Reject one message."""
        # a detail may quote the payload: PostgreSQL's text holds neither NUL nor lone surrogates
        text = detail[:DETAIL_LIMIT].replace("\0", "\\0").encode("utf-8", "replace").decode()
        self._found.setdefault(message, Reason(code, text))

    def add_where(
        self,
        mask: NDArray[Any],
        messages: NDArray[Any],
        code: str,
        detail: Callable[[int], str],
    ) -> None:
        """Reject the messages of the rows where the mask is set; `detail` gets the row."""
        for row in np.flatnonzero(mask):
            self.add(int(messages[row]), code, detail(int(row)))

    def spared(self, messages: NDArray[Any]) -> NDArray[Any]:
        """Which of the messages, int32[m], are not rejected: bool[m]."""
        return ~np.isin(messages, np.fromiter(self._found, dtype=np.int64, count=len(self)))

    def batch(self) -> pa.RecordBatch:
        """The rejects so far, by message, as `REJECT`."""
        rows = sorted(self._found)
        return pa.RecordBatch.from_arrays(
            [
                pa.array(rows, pa.int32()),
                pa.array([self._found[row].code for row in rows], pa.string()),
                pa.array([self._found[row].detail for row in rows], pa.string()),
                pa.array([self._payloads[row] for row in rows], pa.binary()),
            ],
            schema=REJECT,
        )
