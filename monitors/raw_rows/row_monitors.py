"""The monitors that need raw rows, run on a window: Evidently's, and drift of columns together."""

import logging
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial

import psycopg
import pyarrow as pa
from pebble import ProcessPool

from driftline.config.monitors import Evidently, Monitors, Multivariate
from driftline.errors import DriftlineError
from driftline.monitors.raw_rows import (
    domain_classifier,
    evidently_monitor,
    multivariate,
    pca_reconstruction,
    reference_rows,
)
from driftline.monitors.raw_rows.multivariate import Law, Method
from driftline.monitors.windows.verdict import Verdict, Window
from driftline.profile import sample
from driftline.storage.connection import Connection
from driftline.storage.monitoring import references, window_sample

log = logging.getLogger(__name__)

METHODS: dict[str, Method] = {
    "domain_classifier": domain_classifier.compare,
    "pca_reconstruction": pca_reconstruction.compare,
}

_REFERENCE = 2  # times a window's sample: enough of it is left without one of its windows
_MOST = 120_000  # rows of a reference, and of all its windows that are judged


@dataclass(frozen=True, eq=False)
class _Known:
    """The rows of a version's reference as they were set at some time, and the laws from them."""

    stamp: datetime | None
    rows: pa.Table
    laws: dict[int, Law]


class RawMonitors:
    """The raw monitors of one model; the rows of references and their laws are kept.

    Parameters:
        model: its name in the config.
        settings: how it is watched.
    """

    def __init__(self, model: str, settings: Monitors) -> None:
        self._model = model
        self._settings = settings
        self._known: dict[int, _Known] = {}

    def judge(
        self, connection: Connection, window: Window, version: int, level: float | None
    ) -> list[Verdict]:
        """What they say of a window; nothing when none is configured.

        Parameters:
            version: that served most of the window; its reference is compared with.
            level: the false-alarm rate of the multivariate monitor; None: it is only shown.
        """
        rows = wanted_rows(self._settings)
        if not rows:
            return []
        try:
            known = self._reference(connection, version)
            current = window_sample.read(
                connection, self._model, window.start, window.end, rows=rows, labelled=True
            )
        except DriftlineError as error:
            return [_broken("raw_rows", str(error), version)]
        found: list[Verdict] = []
        for one in self._settings.evidently:
            found += self._isolated(
                f"{evidently_monitor.PREFIX}.{one.name}",
                version,
                partial(_evidently, current, known.rows, one, version),
            )
        chosen = self._settings.multivariate
        if chosen is not None:
            found += self._isolated(
                chosen.method,
                version,
                partial(
                    self._together,
                    *(connection, window, current, known, chosen),
                    level=level,
                    version=version,
                ),
            )
        return _each_once(found)

    def _isolated(
        self, name: str, version: int, judge: Callable[[], list[Verdict]]
    ) -> list[Verdict]:
        try:
            return judge()
        except psycopg.Error:
            raise
        except Exception as error:
            log.exception("monitor %s of model %s failed", name, self._model)
            return [_broken(name, f"{type(error).__name__}: {error}", version)]

    def _together(
        self,
        connection: Connection,
        window: Window,
        current: pa.Table,
        known: _Known,
        settings: Multivariate,
        *,
        level: float | None,
        version: int,
    ) -> list[Verdict]:
        method = METHODS[settings.method]
        if window.seconds not in known.laws:
            known.laws[window.seconds] = self._learn(
                connection, window, version, known.rows, settings
            )
        verdict = multivariate.judge(
            settings.method,
            method,
            current,
            known.rows,
            known.laws[window.seconds],
            rows=settings.rows,
            level=level,
            version=version,
        )
        return [verdict]

    def _learn(
        self,
        connection: Connection,
        window: Window,
        version: int,
        reference: pa.Table,
        settings: Multivariate,
    ) -> Law:
        """The law of windows of one length, from those of the reference."""
        length = timedelta(seconds=window.seconds)
        starts = reference_rows.windows(
            *(connection, self._model, version, length),
            most=multivariate.WINDOWS,
            fewest=multivariate.FEWEST,
        )
        rows = min(settings.rows, _MOST // max(len(starts), 1))
        samples = (
            window_sample.read(connection, self._model, start, start + length, rows=rows)
            for start in starts
        )
        return multivariate.learn(
            *(METHODS[settings.method], reference, length, settings.rows),
            self._settings.variation,
            windows=samples,
        )

    def _reference(self, connection: Connection, version: int) -> _Known:
        stamp = references.stamp(connection, self._model).get(version)
        known = self._known.get(version)
        if known is None or known.stamp != stamp:
            rows = min(wanted_rows(self._settings) * _REFERENCE, _MOST)
            found = reference_rows.read(connection, self._model, version, rows)
            known = self._known[version] = _Known(stamp, found.rows, {})
        return known


def wanted_rows(settings: Monitors) -> int:
    """How many rows of a window are read; 0 when nothing needs any."""
    own = [one.rows for one in settings.evidently]
    return max([*own, settings.multivariate.rows if settings.multivariate else 0])


def _evidently(
    current: pa.Table, reference: pa.Table, settings: Evidently, version: int
) -> list[Verdict]:
    limit = settings.time_limit.total_seconds()
    samples = (sample.thin(rows, settings.rows) for rows in (current, reference))
    running = _process().schedule(
        evidently_monitor.evaluate,
        args=[*samples, settings],
        kwargs={"version": version},
        timeout=limit,
    )
    try:
        found: list[Verdict] = running.result()
    except TimeoutError as error:
        raise DriftlineError(
            f"it has not ended within {limit:g} s: ask for fewer `rows`, or raise its `time_limit`"
        ) from error
    return found


@cache
def _process() -> ProcessPool:
    """One for all models, begun when first needed: what hangs or eats the memory there is ended,
    and the next starts anew."""
    return ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn"))


def _broken(monitor: str, detail: str, version: int) -> Verdict:
    return Verdict(
        monitor, "drift", "", "broken", 0, alerts=False, detail=detail[:500], version=version
    )


def _each_once(verdicts: list[Verdict]) -> list[Verdict]:
    """Two entries of the config can name the same metric of the same column: the first stays."""
    unique: dict[tuple[str, str], Verdict] = {}
    for one in verdicts:
        unique.setdefault((one.monitor, one.column), one)
    return list(unique.values())
