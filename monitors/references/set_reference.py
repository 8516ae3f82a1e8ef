"""Set the reference of a version: a past period of live profiles, or a file."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from driftline import names, parquet
from driftline.config import Config
from driftline.config.monitors import Monitors
from driftline.errors import DriftlineError
from driftline.profile import blocks as by_time
from driftline.profile import sample
from driftline.profile.binning import Binning
from driftline.profile.blocks import Block
from driftline.profile.profile import Profile
from driftline.profile.recount import leave_one_out, recount
from driftline.storage.connection import Connection, connect
from driftline.storage.monitoring import reference_sample, references
from driftline.storage.monitoring.references import StoredReference
from driftline.storage.profiles import binnings, windows
from driftline.storage.profiles.profile_rows import ProfileRow
from driftline.storage.versions import promotions

_DAY = timedelta(days=1)


def champion(connection: Connection, name: str) -> int:
    """The version to use if none is given, see `promotions.champion`.

    Raises:
        DriftlineError: no version was ever loaded.
    """
    version = promotions.champion(connection, name)
    if version is None:
        raise DriftlineError(f"no version of model {name!r} has been loaded: start its job first")
    return version


def from_window(
    config: Config,
    name: str,
    since: datetime,
    until: datetime,
    *,
    version: int | None = None,
    seconds: int | None = None,
) -> StoredReference:
    """Set the reference to what was served in [since, until).

    Uses rows of the version itself or, if it has none yet, those of others in its bins.

    Parameters:
        version: whose reference; default: the champion.
        seconds: length of the blocks; default: what the windows need, an hour at most, or days
            if there would be more than 2,500 blocks.

    Raises:
        DriftlineError: nothing was counted in the period in the version's bins.
        SchemaError: profiles were merged into longer periods, and the rows are deleted.
    """
    settings = config.model(name).monitors
    with connect(config.local_postgres(), "write", autocommit=True) as connection:
        number = champion(connection, name) if version is None else version
        return live(connection, name, settings, (since, until), version=number, seconds=seconds)


def live(
    connection: Connection,
    name: str,
    settings: Monitors,
    window: tuple[datetime, datetime],
    *,
    version: int,
    seconds: int | None = None,
    note: str = "",
) -> StoredReference:
    """As `from_window`, in the caller's transaction."""
    since, until = window
    binning = _binning(connection, name, version)
    length = seconds or by_time.seconds_of(until - since, 60 * settings.block_minutes)
    blocks = _live(
        connection,
        name,
        version,
        binning,
        window=window,
        seconds=length,
        segments=settings.segments,
    )
    total = Profile.of(binning, *(b.cells for b in blocks if b.segment == names.ALL_ROWS))
    if not total.rows:
        raise DriftlineError(
            f"no predictions of model {name!r} were counted in the bins of version {version} from "
            f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}: choose another period or version"
        )
    stored = StoredReference(name, version, total, "window", since, until, length, note)
    references.write(connection, stored, blocks)
    return stored


def from_file(
    config: Config,
    name: str,
    path: Path,
    *,
    version: int | None = None,
    time_column: str | None = None,
    seconds: int | None = None,
) -> StoredReference:
    """Set the reference to the rows of a Parquet file with the features and the score.

    Parameters:
        time_column: event times, from which the variation over time is learned.

    Raises:
        DriftlineError: the file cannot be read, or lacks a column.
    """
    settings = config.model(name).monitors
    segments, shortest = settings.segments, 60 * settings.block_minutes
    with connect(config.local_postgres(), "write", autocommit=True) as connection:
        number = champion(connection, name) if version is None else version
        binning = _binning(connection, name, number)
        table = _read(path, binning, time_column)
        rows = leave_one_out(table, binning)
        blocks: list[Block] = []
        if time_column is not None:
            times = table.column(time_column)
            blocks = by_time.build(
                rows, times, binning, seconds or by_time.seconds_for(times, shortest), segments
            )
        total = recount(rows, binning)
        covered = references.covered(blocks)
        stored = StoredReference(name, number, total, "file", *covered, note=path.name)
        features = table.select(
            [
                bins.name
                for bins in binning.columns
                if bins.kind != "log" and bins.name != names.SCORE
            ]
        )
        score = table.column(names.SCORE).to_numpy()
        with connection.transaction():
            references.write(connection, stored, blocks)
            reference_sample.replace(connection, name, number, sample.draw(features, score))
    return stored


def _binning(connection: Connection, name: str, version: int) -> Binning:
    binning = binnings.of_version(connection, name, version)
    if binning is None:
        raise DriftlineError(
            f"version {version} of model {name!r} was never loaded, so its bins are unknown: "
            "run the job with it first, or a shadow"
        )
    return binning


def _live(
    connection: Connection,
    name: str,
    version: int,
    binning: Binning,
    *,
    window: tuple[datetime, datetime],
    seconds: int,
    segments: Sequence[str],
) -> list[Block]:
    """Blocks of the version itself or, if it has none, of others in its bins."""
    step = timedelta(seconds=seconds)
    start, until = window
    own: list[Block] = []
    shared: list[Block] = []
    while start < until:
        end = min(start + step, until)
        rows = [
            row
            for row in windows.read(connection, name, start, end, segments)
            if row.role == names.SERVED and row.binning_id == binning.id
        ]
        own += _blocks([row for row in rows if row.version == version], binning, start, seconds)
        shared += _blocks(rows, binning, start, seconds)
        start = end
    return own or shared


def _blocks(
    rows: Sequence[ProfileRow], binning: Binning, start: datetime, seconds: int
) -> list[Block]:
    packed: dict[str, list[bytes]] = {}
    for row in rows:
        packed.setdefault(row.segment, []).append(row.cells)
    profiles = {segment: Profile.of(binning, *cells) for segment, cells in packed.items()}
    return [
        Block(segment, seconds, start, profile.rows, profile.pack())
        for segment, profile in sorted(profiles.items())
    ]


def _read(path: Path, binning: Binning, time_column: str | None) -> pa.Table:
    table = parquet.read(path, "the reference")
    required = [bins.name for bins in binning.columns if bins.kind != "log"]
    required += [] if time_column is None else [time_column]
    for column in required:
        if column not in table.column_names:
            raise DriftlineError(
                f"{str(path)!r} has no column {column!r}: the reference needs the features, "
                f"{names.SCORE!r} and the column of --time-column"
            )
    if time_column is not None and not pa.types.is_timestamp(table.column(time_column).type):
        raise DriftlineError(f"column {time_column!r} has no timestamps: convert it first")
    if not len(table):
        raise DriftlineError(f"{str(path)!r} has no rows: a reference needs at least one")
    return table
