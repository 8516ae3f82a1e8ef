"""Raw rows of a reference: of its window when it was live, else those kept at registration."""

from typing import NamedTuple

import pyarrow as pa

from driftline.errors import DriftlineError
from driftline.profile import sample
from driftline.storage import reference_sample, window_sample
from driftline.storage.connection import Connection


class RawReference(NamedTuple):
    """Sampled rows of a reference, and what they are, for people."""

    rows: pa.Table
    origin: str


def read(connection: Connection, model: str, version: int, rows: int) -> RawReference:
    """A sample of a version's reference.

    Parameters:
        rows: how many at most; of a registered reference up to 5,000 were kept.

    Raises:
        DriftlineError: no raw rows of it are kept.
    """
    row = connection.execute(
        """SELECT origin, since, until FROM driftline.reference
            WHERE model = %s AND version = %s""",
        [model, version],
    ).fetchone()
    origin, since, until = row or ("", None, None)
    if origin == "window" and since is not None and until is not None:
        live = window_sample.read(connection, model, since, until, rows=rows, labelled=True)
        if len(live):
            return RawReference(
                live, f"live rows of {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}"
            )
    kept = reference_sample.load(connection, model, version)
    if kept is None:
        raise DriftlineError(
            f"no raw rows of the reference of model {model!r} version {version} are kept: register "
            "the version again, or set its reference to a window whose rows are still stored"
        )
    return RawReference(sample.thin(kept, rows), origin or "registration")
