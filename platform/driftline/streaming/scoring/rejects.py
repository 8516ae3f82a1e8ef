"""The rejected messages of a batch, each with its reason."""

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
    """Why a message was rejected: a stable code, and a sentence that contains the value."""

    code: str
    detail: str


class Rejects:
    """Collects the rejected messages of a batch; the first reason of a message is kept.

    Parameters:
        payloads: the values of the batch's n messages.
    """

    def __init__(self, payloads: Sequence[bytes | None]) -> None:
        self._payloads = payloads
        self._reasons: dict[int, Reason] = {}

    def __len__(self) -> int:
        return len(self._reasons)

    def add(self, message: int, code: str, detail: str) -> None:
        """Reject a message, unless it is rejected already."""
        # a detail may quote the payload, but PostgreSQL's text allows no NUL and no lone surrogates
        text = detail[:DETAIL_LIMIT].replace("\0", "\\0").encode("utf-8", "replace").decode()
        self._reasons.setdefault(message, Reason(code, text))

    def add_where(
        self,
        mask: NDArray[Any],
        messages: NDArray[Any],
        code: str,
        detail: Callable[[int], str],
    ) -> None:
        """Reject the messages of the rows in the mask; `detail` is called with each row."""
        for row in np.flatnonzero(mask):
            self.add(int(messages[row]), code, detail(int(row)))

    def accepted(self, messages: NDArray[Any]) -> NDArray[Any]:
        """Mask of the messages, int32[m], that are not rejected: bool[m]."""
        return ~np.isin(messages, np.fromiter(self._reasons, dtype=np.int64, count=len(self)))

    def batch(self) -> pa.RecordBatch:
        """The rejects so far, sorted by message, as `REJECT`."""
        rows = sorted(self._reasons)
        return pa.RecordBatch.from_arrays(
            [
                pa.array(rows, pa.int32()),
                pa.array([self._reasons[row].code for row in rows], pa.string()),
                pa.array([self._reasons[row].detail for row in rows], pa.string()),
                pa.array([self._payloads[row] for row in rows], pa.binary()),
            ],
            schema=REJECT,
        )
