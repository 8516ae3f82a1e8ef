"""Runs the monitors that need raw rows on a window: Evidently's and multivariate drift."""

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
from driftline.monitors.raw_rows.multivariate import Method, MethodNull
from driftline.monitors.windows.verdict import Verdict, Window
from driftline.profile import sample
from driftline.storage.connection import Connection
from driftline.storage.monitoring import references, window_sample

log = logging.getLogger(__name__)

METHODS: dict[str, Method] = {
    "domain_classifier": domain_classifier.compare,
    "pca_reconstruction": pca_reconstruction.compare,
}

_REFERENCE_FACTOR = 2  # times a window's sample, so that enough is left without one window
_MAX_ROWS = 120_000  # of a reference, and of all its compared windows together


@dataclass(frozen=True, eq=False)
class _CachedReference:
    """The rows of a version's reference, and null distributions by window length in seconds."""

    created_at: datetime | None
    rows: pa.Table
    nulls: dict[int, MethodNull]


class RawMonitors:
    """The raw-row monitors of one model, with cached reference rows and null distributions.

    Parameters:
        model: its name in the config.
        settings: its monitoring config.
    """

    def __init__(self, model: str, settings: Monitors) -> None:
        self._model = model
        self._settings = settings
        self._references: dict[int, _CachedReference] = {}

    def judge(
        self, connection: Connection, window: Window, version: int, level: float | None
    ) -> list[Verdict]:
        """Their verdicts on a window; none when no such monitor is configured.

        Parameters:
            version: with most predictions in the window; its reference is used.
            level: the significance level of the multivariate monitor; None: it is only shown.
        """
        rows = required_rows(self._settings)
        if not rows:
            return []
        try:
            reference = self._reference(connection, version)
            current = window_sample.read(
                connection, self._model, window.start, window.end, rows=rows, labelled=True
            )
        except DriftlineError as error:
            return [_broken("raw_rows", str(error), version)]
        verdicts: list[Verdict] = []
        for metric in self._settings.evidently:
            verdicts += self._isolated(
                f"{evidently_monitor.PREFIX}.{metric.name}",
                version,
                partial(_evidently, current, reference.rows, metric, version),
            )
        section = self._settings.multivariate
        if section is not None:
            verdicts += self._isolated(
                section.method,
                version,
                partial(
                    self._multivariate,
                    *(connection, window, current, reference, section),
                    level=level,
                    version=version,
                ),
            )
        return _deduplicate(verdicts)

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

    def _multivariate(
        self,
        connection: Connection,
        window: Window,
        current: pa.Table,
        reference: _CachedReference,
        settings: Multivariate,
        *,
        level: float | None,
        version: int,
    ) -> list[Verdict]:
        method = METHODS[settings.method]
        if window.seconds not in reference.nulls:
            reference.nulls[window.seconds] = self._fit_null(
                connection, window, version, reference.rows, settings
            )
        verdict = multivariate.judge(
            settings.method,
            method,
            current,
            reference.rows,
            reference.nulls[window.seconds],
            rows=settings.rows,
            level=level,
            version=version,
        )
        return [verdict]

    def _fit_null(
        self,
        connection: Connection,
        window: Window,
        version: int,
        reference: pa.Table,
        settings: Multivariate,
    ) -> MethodNull:
        """The null distribution for windows of one length, from those of the reference."""
        length = timedelta(seconds=window.seconds)
        starts = reference_rows.windows(
            *(connection, self._model, version, length),
            n=multivariate.MAX_WINDOWS,
            min_rows=multivariate.MIN_ROWS,
        )
        rows = min(settings.rows, _MAX_ROWS // max(len(starts), 1))
        samples = (
            window_sample.read(connection, self._model, start, start + length, rows=rows)
            for start in starts
        )
        return multivariate.fit_null(
            *(METHODS[settings.method], reference, length, settings.rows),
            self._settings.assumed_variation,
            windows=samples,
        )

    def _reference(self, connection: Connection, version: int) -> _CachedReference:
        created_at = references.created_at(connection, self._model).get(version)
        cached = self._references.get(version)
        if cached is None or cached.created_at != created_at:
            rows = min(required_rows(self._settings) * _REFERENCE_FACTOR, _MAX_ROWS)
            stored = reference_rows.read(connection, self._model, version, rows)
            cached = self._references[version] = _CachedReference(created_at, stored.rows, {})
        return cached


def required_rows(settings: Monitors) -> int:
    """The number of rows of a window to read; 0 when no monitor needs any."""
    evidently = [metric.rows for metric in settings.evidently]
    return max([*evidently, settings.multivariate.rows if settings.multivariate else 0])


def _evidently(
    current: pa.Table, reference: pa.Table, settings: Evidently, version: int
) -> list[Verdict]:
    limit = settings.timeout.total_seconds()
    samples = (sample.subsample(rows, settings.rows) for rows in (current, reference))
    running = _process().schedule(
        evidently_monitor.evaluate,
        args=[*samples, settings],
        kwargs={"version": version},
        timeout=limit,
    )
    try:
        verdicts: list[Verdict] = running.result()
    except TimeoutError as error:
        raise DriftlineError(
            f"not finished within {limit:g} s: configure fewer `rows` or a longer `timeout`"
        ) from error
    return verdicts


@cache
def _process() -> ProcessPool:
    """One process for all models, started on first use: a task that hangs or uses up the memory
    ends only this process, and the next task starts a new one."""
    return ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn"))


def _broken(monitor: str, detail: str, version: int) -> Verdict:
    return Verdict(
        monitor, "drift", "", "broken", 0, alerts=False, detail=detail[:500], version=version
    )


def _deduplicate(verdicts: list[Verdict]) -> list[Verdict]:
    """The first of several entries of the config with the same metric and column."""
    unique: dict[tuple[str, str], Verdict] = {}
    for verdict in verdicts:
        unique.setdefault((verdict.monitor, verdict.column), verdict)
    return list(unique.values())
