"""What each version is compared with: one profile of all rows, and profiles of blocks of time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from driftline import names
from driftline.profile import pack
from driftline.profile.binning import Binning, Ints
from driftline.profile.blocks import Block
from driftline.profile.profile import Profile
from driftline.storage.connection import Connection
from driftline.storage.profiles import binnings


@dataclass(frozen=True, eq=False)
class StoredReference:
    """What a version is compared with.

    Attributes:
        profile: of all its rows.
        origin: where it comes from: registration, window or file.
        since, until: the event times that it covers, if known.
        block_seconds: the length of its shortest blocks; None without times.
        note: free text, such as the file's name.
    """

    model: str
    version: int
    profile: Profile
    origin: str
    since: datetime | None = None
    until: datetime | None = None
    block_seconds: int | None = None
    note: str = ""


class Series(NamedTuple):
    """Blocks of one length as matrices.

    Attributes:
        starts: int64[m], Unix seconds, ascending; blocks without rows are omitted.
        counts: int64[m, binning.size].
        sums: int64[m, binning.summed].
    """

    starts: Ints
    counts: Ints
    sums: Ints


def read(connection: Connection, model: str, version: int) -> StoredReference | None:
    """The reference of a version; None when it has none."""
    row = connection.execute(
        """SELECT binning_id, cells, origin, since, until, block_seconds, note
             FROM driftline.reference WHERE model = %s AND version = %s""",
        [model, version],
    ).fetchone()
    if row is None:
        return None
    binning_id, cells, *fields = row
    profile = Profile.of(binnings.read(connection, binning_id), cells)
    return StoredReference(model, version, profile, *fields)


def created_at(connection: Connection, model: str) -> dict[int, datetime]:
    """When the reference of each version was set, to detect that it was replaced."""
    rows = connection.execute(
        "SELECT version, created_at FROM driftline.reference WHERE model = %s", [model]
    ).fetchall()
    return dict(rows)


def lengths(connection: Connection, model: str, version: int) -> list[tuple[str, int, int]]:
    """(segment, seconds, number of blocks) of a version."""
    rows = connection.execute(
        """SELECT segment, seconds, count(*) FROM driftline.reference_block
            WHERE model = %s AND version = %s GROUP BY 1, 2 ORDER BY 1, 2""",
        [model, version],
    ).fetchall()
    return [(segment, seconds, n) for segment, seconds, n in rows]


def series(
    connection: Connection,
    model: str,
    version: int,
    binning: Binning,
    *,
    seconds: int,
    segment: str = names.ALL_ROWS,
) -> Series | None:
    """The blocks of one length; None if there are none."""
    rows = connection.execute(
        """SELECT extract(epoch FROM start)::bigint, cells FROM driftline.reference_block
            WHERE model = %s AND version = %s AND segment = %s AND seconds = %s
              AND binning_id = %s ORDER BY start""",
        [model, version, segment, seconds, binning.id],
    ).fetchall()
    if not rows:
        return None
    starts = np.array([start for start, _ in rows], dtype=np.int64)
    counts = np.zeros((len(rows), binning.size), dtype=np.int64)
    sums = np.zeros((len(rows), binning.summed), dtype=np.int64)
    for i, (_, packed) in enumerate(rows):
        block = pack.unpack(packed)
        counts[i, block.cells] = block.counts
        sums[i, block.cells[: len(block.sums)]] = block.sums
    return Series(starts, counts, sums)


def write(connection: Connection, reference: StoredReference, blocks: Iterable[Block]) -> None:
    """Set or replace a version's reference; also deletes the null distributions of the old one.

    Parameters:
        connection: as role `write`; readers see either the old or the new reference.
    """
    profile = reference.profile
    with connection.transaction():
        connection.execute(
            """INSERT INTO driftline.binning (id, spec) VALUES (%s, %s::jsonb)
               ON CONFLICT DO NOTHING""",
            (profile.binning.id, profile.binning.to_json()),
        )
        connection.execute(
            """INSERT INTO driftline.reference (model, version, binning_id, rows, cells, origin,
                                                since, until, block_seconds, note)
               VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
               ON CONFLICT (model, version) DO UPDATE
                 SET binning_id = excluded.binning_id, rows = excluded.rows,
                     cells = excluded.cells, origin = excluded.origin, since = excluded.since,
                     until = excluded.until, block_seconds = excluded.block_seconds,
                     note = excluded.note, created_at = clock_timestamp()""",
            (
                reference.model,
                reference.version,
                profile.binning.id,
                profile.rows,
                profile.pack(),
                reference.origin,
                reference.since,
                reference.until,
                reference.block_seconds,
                reference.note,
            ),
        )
        for table in ("reference_block", "calibration"):
            connection.execute(
                f"DELETE FROM driftline.{table} WHERE model = %s AND version = %s",  # noqa: S608
                (reference.model, reference.version),
            )
        add_blocks(connection, reference.model, reference.version, profile.binning.id, blocks)


def covered(
    blocks: Sequence[Block],
) -> tuple[datetime | None, datetime | None, int | None]:
    """Start and end of the time that blocks cover, and the length of the shortest block."""
    if not blocks:
        return None, None, None
    until = max(block.start + timedelta(seconds=block.seconds) for block in blocks)
    return min(b.start for b in blocks), until, min(b.seconds for b in blocks)


def add_blocks(
    connection: Connection, model: str, version: int, binning_id: str, blocks: Iterable[Block]
) -> None:
    """Add the blocks of a reference."""
    with connection.cursor().copy(
        "COPY driftline.reference_block"
        " (model, version, segment, seconds, start, binning_id, rows, cells) FROM STDIN"
    ) as copy:
        for block in blocks:
            copy.write_row(
                (
                    *(model, version, block.segment, block.seconds, block.start, binning_id),
                    *(block.rows, block.cells),
                )
            )
