"""The judges of a model's versions and segments, built from stored references and cached."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from driftline import names
from driftline.config import Model
from driftline.errors import DriftlineError
from driftline.monitors.calibration import budget
from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.reference import Blocks, LazyBlocks, Reference
from driftline.monitors.calibration.sequential import Sequential, longest
from driftline.profile.binning import Binning
from driftline.profile.profile import Profile
from driftline.profile.trimmed import trim
from driftline.storage.connection import Connection
from driftline.storage.monitoring import calibrations, references
from driftline.storage.monitoring.calibrations import Key
from driftline.storage.monitoring.references import Series, StoredReference


class NoReferenceError(DriftlineError):
    """A version has no reference."""


class Judges:
    """The judges of one model; when a reference is set again, its judges are built again.

    Parameters:
        model: its name in the config.
        section: its section of the config.

    Attributes:
        created_at: when the reference of each version was set, as of the last refresh.
    """

    def __init__(self, model: str, section: Model) -> None:
        self._model = model
        self.settings = section.monitors
        self._share = budget.column_share(section)
        self.created_at: dict[int, datetime] = {}
        self._stored: dict[int, StoredReference | None] = {}
        self._judges: dict[tuple[int, str], Judge] = {}
        self._sequential: dict[int, Sequential] = {}
        self._stored_keys: dict[tuple[int, str], set[Key]] = {}
        self._connection: Connection

    @property
    def longest(self) -> int:
        """Seconds of the windows whose effects are summed."""
        return longest(self.settings).seconds

    def refresh(self, connection: Connection) -> None:
        """Drop the judges of references that have changed since.

        Parameters:
            connection: used until the next call.
        """
        self._connection = connection
        created_at = references.created_at(connection, self._model)
        for version in {*created_at, *self._stored}:
            if created_at.get(version) != self.created_at.get(version):
                self._stored.pop(version, None)
                for key in [key for key in self._judges if key[0] == version]:
                    del self._judges[key]
                    self._stored_keys.pop(key, None)
        self.created_at = created_at

    def reference(self, connection: Connection, version: int) -> StoredReference | None:
        """The reference of a version, with all its columns."""
        if version not in self._stored:
            self._stored[version] = references.read(connection, self._model, version)
        return self._stored[version]

    def get(self, connection: Connection, version: int, segment: str) -> Judge:
        """The judge of a version's segment.

        Raises:
            NoReferenceError: the version has no reference.
        """
        key = (version, segment)
        if key not in self._judges:
            self._judges[key] = self._build(connection, version, segment)
        return self._judges[key]

    def sequential(self, connection: Connection, version: int) -> Sequential:
        """The detector of slow drift of a version, over all rows.

        Raises:
            NoReferenceError: the version has no reference.
        """
        judge = self.get(connection, version, names.ALL_ROWS)
        sequential = self._sequential.get(version)
        if sequential is None or sequential.calibrator is not judge.calibrator:
            sequential = Sequential(self.settings, judge.calibrator, version)
            self._sequential[version] = sequential
        return sequential

    def store_nulls(self, connection: Connection) -> None:
        """Store new null distributions for the next runner, and free the windows behind them."""
        for (version, segment), judge in self._judges.items():
            stored_keys = self._stored_keys.setdefault((version, segment), set())
            nulls = judge.calibrator.nulls(exclude=stored_keys)
            digest = self._digest(judge)
            calibrations.write(connection, self._model, version, segment, digest, nulls=nulls)
            stored_keys.update(nulls)
            judge.calibrator.release()

    def _digest(self, judge: Judge) -> str:
        """Of the settings and the reference's time: those of an old reference are not read."""
        return f"{judge.calibrator.digest} {self.created_at.get(judge.version)}"

    def _build(self, connection: Connection, version: int, segment: str) -> Judge:
        stored = self.reference(connection, version)
        if stored is None:
            raise NoReferenceError(
                f"version {version} of model {self._model!r} has no reference: "
                f"'driftline reference set {self._model} --version {version} ...' sets one"
            )
        lengths = [window.seconds for window in self.settings.windows]
        reference = load(lambda: self._connection, stored, segment, lengths)
        judge = Judge(self.settings, reference, segment, version, share=self._share)
        nulls = calibrations.read(connection, self._model, version, segment, self._digest(judge))
        judge.calibrator.restore(nulls)
        self._stored_keys[version, segment] = set(nulls)
        return judge


def load(
    connect: Callable[[], Connection],
    stored: StoredReference,
    segment: str,
    windows: Sequence[int],
) -> Reference:
    """A stored reference of all rows or of a segment, as the statistics use it.

    Parameters:
        connect: returns a connection, now and whenever blocks are read.
        windows: lengths in seconds of the judged windows; they decide which blocks are read.

    Raises:
        NoReferenceError: the reference has no blocks of the segment.
    """
    whole = stored.profile.binning
    lengths = references.lengths(connect(), stored.model, stored.version)
    numbers = {seconds: number for name, seconds, number in lengths if name == segment}
    total, blocks = stored.profile, None
    if segment and not numbers:
        raise NoReferenceError(
            f"the reference of version {stored.version} has no blocks of segment {segment!r}: "
            f"'driftline reference set {stored.model}' adds them, from live windows or from a file"
        )
    if numbers:
        seconds = _coarsest(list(numbers), windows)
        read = partial(_series, connect, stored, segment, seconds)
        blocks = LazyBlocks(seconds, numbers[seconds], lambda: _blocks(read(), seconds, whole))
        if segment:
            series = read()
            total = Profile(whole, series.counts.sum(axis=0), series.sums.sum(axis=0))
    trimmed = trim(whole)
    return Reference(trimmed.binning, trimmed.profile(total), blocks)


def _coarsest(lengths: Sequence[int], windows: Sequence[int]) -> int:
    """The longest blocks that divide all windows that the shortest divide: fewer rows to read."""
    shortest = min(lengths)
    divided = [window for window in windows if window % shortest == 0]
    usable = [n for n in lengths if all(window % n == 0 for window in divided)]
    return max(usable) if divided else shortest


def _series(
    connect: Callable[[], Connection], stored: StoredReference, segment: str, seconds: int
) -> Series:
    series = references.series(
        connect(),
        stored.model,
        stored.version,
        stored.profile.binning,
        seconds=seconds,
        segment=segment,
    )
    if series is None:
        raise NoReferenceError(
            f"the reference of version {stored.version} of model {stored.model!r} was "
            "replaced while it was read"
        )
    return series


def _blocks(series: Series, seconds: int, whole: Binning) -> Blocks:
    return Blocks(seconds, series.starts, series.counts[:, trim(whole).cells], series.sums)
