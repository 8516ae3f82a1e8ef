"""`driftline report`: creates and stores the detailed report of one window."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.monitors.raw_rows import evidently_data, evidently_report, reference_rows
from driftline.storage.connection import Connection, connect
from driftline.storage.monitoring import reports, window_sample

ROWS = 5_000  # of the window, and of the reference


@dataclass(frozen=True)
class StoredReport:
    """A stored report.

    Attributes:
        id: report ID.
        html: the page.
        summary: its main numbers, also stored.
    """

    id: int
    model: str
    since: datetime
    until: datetime
    html: str
    summary: dict[str, Any]


def make(
    config: Config,
    model: str,
    since: datetime,
    until: datetime,
    *,
    version: int | None = None,
    rows: int = ROWS,
) -> StoredReport:
    """Create the report of a window from a sample of its raw rows, and store it.

    Parameters:
        since, until: event times, [since, until).
        version: only predictions of this version, compared with its reference; default: all
            predictions, compared with the reference of the version with most of them.
        rows: size of the samples of the window and of the reference.

    Raises:
        ConfigError: the model does not exist.
        DriftlineError: the window has too few rows, or no raw rows of the reference are stored.
        ServiceError: the database is unavailable.
    """
    config.model(model)
    postgres = config.local_postgres()
    with connect(postgres, "read", autocommit=True) as connection:
        current = window_sample.read(
            connection, model, since, until, rows=rows, version=version, labelled=True
        )
        if len(current) == 0:
            of_version = "" if version is None else f" of version {version}"
            raise DriftlineError(
                f"model {model!r} has no predictions{of_version} from {since.isoformat()} to "
                f"{until.isoformat()}: choose another window"
            )
        served = _main_version(current) if version is None else version
        reference = reference_rows.read(connection, model, served, rows)
    page = evidently_report.make(
        current,
        reference.rows,
        f"{model}, {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC",
        _facts(current, reference, served),
    )
    summary = {
        "version": served,
        "rows": len(current),
        "labelled": evidently_data.labels(current),
        "reference": reference.origin,
        "reference_rows": len(reference.rows),
        **page.numbers,
    }
    with connect(postgres, "write", autocommit=True) as connection:
        number = reports.store(
            connection, model, since, until, rows=len(current), summary=summary, html=page.html
        )
    return StoredReport(number, model, since, until, page.html, summary)


def latest_window(
    connection: Connection, model: str, length: timedelta
) -> tuple[datetime, datetime]:
    """The last complete window of a length, aligned like the monitors' windows: [since, until).

    Complete: it ends no later than the newest logged minute.

    Raises:
        DriftlineError: no predictions are logged.
    """
    row = connection.execute(
        """SELECT max(bucket + span_minutes * interval '1 minute') FROM driftline.profile
            WHERE model = %s""",
        [model],
    ).fetchone()
    if row is None or row[0] is None:
        raise DriftlineError(
            f"model {model!r} has no logged predictions: 'driftline run' starts its job"
        )
    seconds = int(length.total_seconds())
    if seconds < 60:
        raise DriftlineError(f"a window of {seconds} s is too short: use at least one minute")
    end = int(row[0].timestamp()) // seconds * seconds
    until = datetime.fromtimestamp(end, row[0].tzinfo)
    return until - length, until


def _main_version(current: pa.Table) -> int:
    counted = pc.value_counts(current["model_version"]).to_pylist()
    return int(max(counted, key=lambda count: (count["counts"], count["values"]))["values"])


def _facts(
    current: pa.Table, reference: reference_rows.RawReference, version: int
) -> list[tuple[str, str]]:
    return [
        ("rows", f"{len(current):,} sampled by a hash of event_id, with equal probability"),
        ("with a label", f"{evidently_data.labels(current):,}"),
        ("reference", f"{len(reference.rows):,} rows ({reference.origin}) of version {version}"),
        (
            "note",
            "drift in this report is by Evidently's fixed thresholds; driftline's alarms are "
            "calibrated, see 'driftline calibrate'",
        ),
    ]
