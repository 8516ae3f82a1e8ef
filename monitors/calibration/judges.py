"""The judges of a model's versions and segments, made of stored references and kept."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from driftline import names
from driftline.config import Model
from driftline.errors import DriftlineError
from driftline.monitors.calibration import budget
from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.reference import Blocks, BlocksElsewhere, Reference
from driftline.monitors.calibration.sequential import Sequential, longest
from driftline.profile.binning import Binning
from driftline.profile.profile import Profile
from driftline.profile.trimmed import trim
from driftline.storage.connection import Connection
from driftline.storage.monitoring import calibrations, references
from driftline.storage.monitoring.calibrations import Key
from driftline.storage.monitoring.references import Series, StoredReference


class NoReferenceError(DriftlineError):
    """A version has nothing to be compared with."""


class Judges:
    """Judges of one model; those of a reference that was set anew are made anew.

    Parameters:
        model: its name in the config.
        section: its section.

    Attributes:
        stamps: when the reference of each version was set, as it was at the last refresh.
    """

    def __init__(self, model: str, section: Model) -> None:
        self._model = model
        self.settings = section.monitors
        self._share = budget.columns(section)
        self.stamps: dict[int, datetime] = {}
        self._stored: dict[int, StoredReference | None] = {}
        self._made: dict[tuple[int, str], Judge] = {}
        self._sequential: dict[int, Sequential] = {}
        self._kept: dict[tuple[int, str], set[Key]] = {}
        self._connection: Connection

    @property
    def longest(self) -> int:
        """Seconds of the windows whose effects are added up."""
        return longest(self.settings).seconds

    def refresh(self, connection: Connection) -> None:
        """Drop what was made of references that have changed since.

        Parameters:
            connection: serves until the next call.
        """
        self._connection = connection
        stamps = references.stamp(connection, self._model)
        for version in {*stamps, *self._stored}:
            if stamps.get(version) != self.stamps.get(version):
                self._stored.pop(version, None)
                for key in [key for key in self._made if key[0] == version]:
                    del self._made[key]
                    self._kept.pop(key, None)
        self.stamps = stamps

    def reference(self, connection: Connection, version: int) -> StoredReference | None:
        """The reference of a version, with all its columns."""
        if version not in self._stored:
            self._stored[version] = references.read(connection, self._model, version)
        return self._stored[version]

    def of(self, connection: Connection, version: int, segment: str) -> Judge:
        """The judge of a version's segment.

        Raises:
            NoReferenceError: the version has none.
        """
        key = (version, segment)
        if key not in self._made:
            self._made[key] = self._make(connection, version, segment)
        return self._made[key]

    def sequential(self, connection: Connection, version: int) -> Sequential:
        """The detector of slow drift of a version, over all rows.

        Raises:
            NoReferenceError: the version has none.
        """
        judge = self.of(connection, version, names.ALL_ROWS)
        found = self._sequential.get(version)
        if found is None or found.calibrator is not judge.calibrator:
            found = Sequential(self.settings, judge.calibrator, version)
            self._sequential[version] = found
        return found

    def keep(self, connection: Connection) -> None:
        """Store the laws that were found since, for the next runner; what they were found from is
        let go of."""
        for (version, segment), judge in self._made.items():
            kept = self._kept.setdefault((version, segment), set())
            laws = judge.calibrator.found(kept)
            digest = self._digest(judge)
            calibrations.write(connection, self._model, version, segment, digest, laws=laws)
            kept.update(laws)
            judge.calibrator.release()

    def _digest(self, judge: Judge) -> str:
        """Of the settings and of when the reference was set: laws of an old one are not taken."""
        return f"{judge.calibrator.digest} {self.stamps.get(judge.version)}"

    def _make(self, connection: Connection, version: int, segment: str) -> Judge:
        stored = self.reference(connection, version)
        if stored is None:
            raise NoReferenceError(
                f"version {version} of model {self._model!r} has no reference: "
                f"'driftline reference set {self._model} --version {version} ...' gives it one"
            )
        lengths = [window.seconds for window in self.settings.windows]
        reference = load(lambda: self._connection, stored, segment, lengths)
        judge = Judge(self.settings, reference, segment, version, share=self._share)
        laws = calibrations.read(connection, self._model, version, segment, self._digest(judge))
        judge.calibrator.remember(laws)
        self._kept[version, segment] = set(laws)
        return judge


def load(
    reach: Callable[[], Connection], stored: StoredReference, segment: str, windows: Sequence[int]
) -> Reference:
    """A stored reference, of all rows or of a segment, as the statistics take it.

    Parameters:
        reach: gives a connection, now and whenever blocks are read.
        windows: lengths in seconds that are judged; they decide which blocks are read.

    Raises:
        NoReferenceError: a segment has no blocks of its own.
    """
    whole = stored.profile.binning
    found = references.lengths(reach(), stored.model, stored.version)
    own = {seconds: number for name, seconds, number in found if name == segment}
    total, blocks = stored.profile, None
    if segment and not own:
        raise NoReferenceError(
            f"the reference of version {stored.version} has no blocks of segment {segment!r}: "
            f"'driftline reference set {stored.model}' makes them, of live windows or of a file"
        )
    if own:
        seconds = _coarsest(list(own), windows)
        read = partial(_series, reach, stored, segment, seconds)
        blocks = BlocksElsewhere(seconds, own[seconds], lambda: _blocks(read(), seconds, whole))
        if segment:
            every = read()
            total = Profile(whole, every.counts.sum(axis=0), every.sums.sum(axis=0))
    cut = trim(whole)
    return Reference(cut.binning, cut.profile(total), blocks)


def _coarsest(lengths: Sequence[int], windows: Sequence[int]) -> int:
    """The longest blocks that serve every window that the shortest serve: fewer rows to read."""
    shortest = min(lengths)
    served = [window for window in windows if window % shortest == 0]
    fitting = [n for n in lengths if all(window % n == 0 for window in served)]
    return max(fitting) if served else shortest


def _series(
    reach: Callable[[], Connection], stored: StoredReference, segment: str, seconds: int
) -> Series:
    series = references.series(
        reach(),
        stored.model,
        stored.version,
        stored.profile.binning,
        seconds=seconds,
        segment=segment,
    )
    if series is None:
        raise NoReferenceError(
            f"the reference of version {stored.version} of model {stored.model!r} was set anew "
            "just now"
        )
    return series


def _blocks(series: Series, seconds: int, whole: Binning) -> Blocks:
    return Blocks(seconds, series.starts, series.counts[:, trim(whole).kept], series.sums)
