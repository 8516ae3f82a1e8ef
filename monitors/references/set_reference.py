"""Give a version another reference: a past window of live profiles, or a file."""

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
from driftline.profile.recount import left_out, recount
from driftline.storage.connection import Connection, connect
from driftline.storage.monitoring import reference_sample, references
from driftline.storage.monitoring.references import StoredReference
from driftline.storage.profiles import binnings, windows
from driftline.storage.profiles.profile_rows import ProfileRow
from driftline.storage.versions import promotions

_DAY = timedelta(days=1)


def champion(connection: Connection, name: str) -> int:
    """The version that is meant where none is named, see `promotions.champion`.

    Raises:
        DriftlineError: no version was ever loaded.
    """
    version = promotions.champion(connection, name)
    if version is None:
        raise DriftlineError(f"no version of model {name!r} was ever loaded: run its job first")
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

    Rows of the version itself are taken; where it has none yet, those of others in its bins.

    Parameters:
        version: whose reference; default: the newest.
        seconds: length of the blocks; default: the shortest that the windows need, an hour at
            most, or days, so that there are at most 2,500.

    Raises:
        DriftlineError: nothing was counted there in the version's bins.
        SchemaError: profiles were merged to longer stretches, and the rows are gone.
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
    found = _live(
        connection,
        name,
        version,
        binning,
        window=window,
        seconds=length,
        segments=settings.segments,
    )
    total = Profile.of(binning, *(b.cells for b in found if b.segment == names.ALL_ROWS))
    if not total.rows:
        raise DriftlineError(
            f"nothing of model {name!r} was counted in the bins of version {version} from "
            f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}: name another window or version"
        )
    stored = StoredReference(name, version, total, "window", since, until, length, note)
    references.write(connection, stored, found)
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
        time_column: event times, so that the reference's variation in time is known.

    Raises:
        DriftlineError: the file cannot be read, or lacks a column.
    """
    settings = config.model(name).monitors
    segments, shortest = settings.segments, 60 * settings.block_minutes
    with connect(config.local_postgres(), "write", autocommit=True) as connection:
        number = champion(connection, name) if version is None else version
        binning = _binning(connection, name, number)
        table = _read(path, binning, time_column)
        seen = left_out(table, binning)
        found: list[Block] = []
        if time_column is not None:
            times = table.column(time_column)
            found = by_time.cut(
                seen, times, binning, seconds or by_time.seconds_for(times, shortest), segments
            )
        total = recount(seen, binning)
        covered = references.covered(found)
        stored = StoredReference(name, number, total, "file", *covered, note=path.name)
        features = table.select(
            [one.name for one in binning.columns if one.kind != "log" and one.name != names.SCORE]
        )
        score = table.column(names.SCORE).to_numpy()
        with connection.transaction():
            references.write(connection, stored, found)
            reference_sample.replace(connection, name, number, sample.take(features, score))
    return stored


def _binning(connection: Connection, name: str, version: int) -> Binning:
    binning = binnings.of_version(connection, name, version)
    if binning is None:
        raise DriftlineError(
            f"version {version} of model {name!r} was never loaded, its bins are not known: "
            "run the job, or a shadow, with it first"
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
    """Blocks of the version itself, or of others in its bins where it has none."""
    step = timedelta(seconds=seconds)
    start, until = window
    own: list[Block] = []
    others: list[Block] = []
    while start < until:
        end = min(start + step, until)
        rows = [
            row
            for row in windows.read(connection, name, start, end, segments)
            if row.role == names.SERVED and row.binning_id == binning.id
        ]
        own += _blocks([row for row in rows if row.version == version], binning, start, seconds)
        others += _blocks(rows, binning, start, seconds)
        start = end
    return own or others


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
    try:
        table = parquet.read(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DriftlineError(
            f"can't read the reference {str(path)!r} as Parquet: {error}"
        ) from error
    wanted = [b.name for b in binning.columns if b.kind != "log"]
    wanted += [] if time_column is None else [time_column]
    for column in wanted:
        if column not in table.column_names:
            raise DriftlineError(
                f"{str(path)!r} has no column {column!r}: the reference needs the features, "
                f"{names.SCORE!r} and the column of --time-column"
            )
    if time_column is not None and not pa.types.is_timestamp(table.column(time_column).type):
        raise DriftlineError(f"column {time_column!r} holds no timestamps: convert it first")
    if not len(table):
        raise DriftlineError(f"{str(path)!r} has no rows: a reference needs some")
    return table
