"""`driftline report`: the deep look at one window, made, stored and linked."""

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
class Made:
    """A report that is stored.

    Attributes:
        id: its number.
        html: the page.
        summary: its main numbers; also stored.
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
) -> Made:
    """Make the report of a window on a sample of its raw rows, and store it.

    Parameters:
        since, until: event times, [since, until).
        version: only what this version predicted, against its reference; default: whatever
            served, against the reference of the version that served most.
        rows: how many are sampled of the window, and of the reference.

    Raises:
        ConfigError: there is no such model.
        DriftlineError: the window has too few rows, or no raw rows of the reference are kept.
        ServiceError: the database is away.
    """
    config.model(model)
    postgres = config.local_postgres()
    with connect(postgres, "read", autocommit=True) as connection:
        current = window_sample.read(
            connection, model, since, until, rows=rows, version=version, labelled=True
        )
        if len(current) == 0:
            which = "" if version is None else f" of version {version}"
            raise DriftlineError(
                f"model {model!r} has no predictions{which} from {since.isoformat()} to "
                f"{until.isoformat()}: name another window"
            )
        served = _commonest(current) if version is None else version
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
        number = reports.keep(
            connection, model, since, until, rows=len(current), summary=summary, html=page.html
        )
    return Made(number, model, since, until, page.html, summary)


def latest_window(
    connection: Connection, model: str, length: timedelta
) -> tuple[datetime, datetime]:
    """The last whole window of a length, aligned as the monitors' are: [since, until).

    Whole: it ends no later than the newest minute that was logged.

    Raises:
        DriftlineError: nothing was logged.
    """
    row = connection.execute(
        """SELECT max(bucket + span_minutes * interval '1 minute') FROM driftline.profile
            WHERE model = %s""",
        [model],
    ).fetchone()
    if row is None or row[0] is None:
        raise DriftlineError(
            f"nothing is logged of model {model!r}: 'driftline run' starts its job"
        )
    seconds = int(length.total_seconds())
    if seconds < 60:
        raise DriftlineError(f"a window of {seconds} s is too short: at least a minute")
    end = int(row[0].timestamp()) // seconds * seconds
    until = datetime.fromtimestamp(end, row[0].tzinfo)
    return until - length, until


def _commonest(current: pa.Table) -> int:
    counted = pc.value_counts(current["model_version"]).to_pylist()
    return int(max(counted, key=lambda one: (one["counts"], one["values"]))["values"])


def _facts(
    current: pa.Table, reference: reference_rows.RawReference, version: int
) -> list[tuple[str, str]]:
    return [
        ("rows", f"{len(current):,} sampled by a hash of event_id, each with the same chance"),
        ("with a label", f"{evidently_data.labels(current):,}"),
        ("reference", f"{len(reference.rows):,} rows ({reference.origin}) of version {version}"),
        (
            "note",
            "drift is called here by Evidently's fixed thresholds; driftline's alarms are "
            "calibrated, see 'driftline calibrate'",
        ),
    ]
