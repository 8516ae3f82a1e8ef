"""Raw rows of a window: a sample in which every row has the same chance, at any traffic.

The amount read does not grow with the traffic. A busy window is cut into strata of equal length. Of
each stratum a slice at a pseudo-random place is read, by the index on the event time; the sample is
the rows read with the lowest hashes of their event IDs. The same window gives the same sample, as
long as no rows are added.
"""

import hashlib
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql

from driftline import names
from driftline.storage.connection import Connection
from driftline.storage.log import latest_labels
from driftline.storage.log.rows import stream
from driftline.storage.profiles import profile_rows
from driftline.storage.tables import prediction_table

LABEL = "label"  # the column of labels, beside the features; NaN if unknown

_READ = 8  # times the sample's size is read, at most about
_STRATA = 512

_ROWS = """
SELECT {columns}, hashtextextended(event_id, 0) AS hash FROM {table}
 WHERE event_time >= {since} AND event_time < {until}
   AND ({version}::int IS NULL OR model_version = {version})
"""
# LATERAL: one index scan per slice.
_SLICED = """
SELECT part.* FROM unnest({starts}::timestamptz[], {ends}::timestamptz[]) AS slice (since, until),
  LATERAL (SELECT {columns}, hashtextextended(event_id, 0) AS hash FROM {table}
            WHERE event_time >= slice.since AND event_time < slice.until
              AND ({version}::int IS NULL OR model_version = {version})) AS part
"""
_SAMPLE = """
SELECT {columns} FROM (
  SELECT * FROM ({rows}) AS part ORDER BY hash, event_time LIMIT {limit}) AS sample
"""


def read(
    connection: Connection,
    model: str,
    since: datetime,
    until: datetime,
    *,
    rows: int,
    version: int | None = None,
    features: bool = True,
    labelled: bool = False,
    labels_until: datetime | None = None,
) -> pa.Table:
    """A sample of the predictions of [since, until), in the order of event time.

    Parameters:
        connection: as role `read`.
        rows: how many at most.
        version: only predictions of this version.
        features: include the features.
        labelled: include the labels as column `label`.
        labels_until: only labels with times up to then; default: all.

    Returns:
        event_time, event_id, model_version, score, the features, and the label.

    Raises:
        SchemaError: the model has no table.
    """
    system = [names.EVENT_TIME, names.EVENT_ID, "model_version", names.SCORE]
    flat_features = [
        f for f in prediction_table.features(connection, model) if features and _is_flat(f)
    ]
    columns = [*system, *(field.name for field in flat_features)]
    share = _share(rows, profile_rows.rows(connection, model, since, until))
    query = _query(model, columns, share, rows, since=since, until=until, version=version)
    batches = list(stream(connection, query, None))
    if not batches:
        return _empty(flat_features, labelled=labelled)
    sample = pa.Table.from_batches(batches)
    times = sample[names.EVENT_TIME].to_pylist()
    sample = sample.set_column(
        0, names.EVENT_TIME, pa.array(map(datetime.fromisoformat, times), _TIME)
    )
    sample = sample.sort_by([(names.EVENT_TIME, "ascending"), (names.EVENT_ID, "ascending")])
    if labelled:
        ids = sample[names.EVENT_ID].to_pylist()
        label = latest_labels.latest(
            connection, model, since, ids, until=labels_until or latest_labels.EVER
        )
        sample = sample.append_column(LABEL, pa.array(label))
    return sample


_TIME = pa.timestamp("us", tz="UTC")
_SYSTEM_SCHEMA = pa.schema(
    [
        (names.EVENT_TIME, _TIME),
        (names.EVENT_ID, pa.string()),
        ("model_version", pa.int32()),
        (names.SCORE, pa.float64()),
    ]
)


def scored(sample: pa.Table) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Label and score of the k rows of a labelled sample that have both, float64[k] each.

    >>> sample = pa.table({"label": [1.0, np.nan], "score": [0.5, 0.5]})
    >>> scored(sample)
    (array([1.]), array([0.5]))
    """
    label, score = (
        sample[name].to_numpy().astype(np.float64, copy=False) for name in (LABEL, names.SCORE)
    )
    both = np.isfinite(label) & np.isfinite(score)
    return label[both], score[both]


def _is_flat(field: pa.Field) -> bool:
    return not pa.types.is_nested(field.type)


def _empty(features: list[pa.Field], *, labelled: bool) -> pa.Table:
    label = [pa.field(LABEL, pa.float64())] if labelled else []
    return pa.schema([*_SYSTEM_SCHEMA, *features, *label]).empty_table()


def _share(rows: int, logged: int) -> float:
    """The share of the window that is read: a power of two, so that late rows rarely change it."""
    if logged <= _READ * rows:
        return 1.0
    return float(2.0 ** np.ceil(np.log2(_READ * rows / logged)))


def _query(
    model: str,
    columns: list[str],
    share: float,
    limit: int,
    *,
    since: datetime,
    until: datetime,
    version: int | None,
) -> sql.Composed:
    column_list = sql.SQL(", ").join(map(sql.Identifier, columns))
    table = sql.Identifier(names.SCHEMA, names.prediction_table(model))
    if share >= 1:
        rows = sql.SQL(_ROWS).format(
            columns=column_list, table=table, since=since, until=until, version=version
        )
    else:
        starts, ends = slices(model, since, until, share)
        rows = sql.SQL(_SLICED).format(
            columns=column_list, table=table, starts=starts, ends=ends, version=version
        )
    return sql.SQL(_SAMPLE).format(columns=column_list, rows=rows, limit=limit)


def slices(
    model: str, since: datetime, until: datetime, share: float
) -> tuple[list[datetime], list[datetime]]:
    """What to read: in each stratum a slice of its length times `share`, at a random place.

    A slice that would end after its stratum continues at the stratum's start, so that every instant
    has the same chance.

    Returns:
        Starts and ends.
    """
    stratum = (until - since) / _STRATA
    key = hashlib.sha256(f"{model} {since.isoformat()} {until.isoformat()}".encode()).digest()
    offsets = np.random.default_rng(np.frombuffer(key, np.uint32)).random(_STRATA)
    spans: list[tuple[timedelta, timedelta]] = []
    for i, offset in enumerate(offsets.tolist()):
        first, last = offset, offset + share
        spans.append((stratum * (i + first), stratum * (i + min(last, 1.0))))
        if last > 1:
            spans.append((stratum * i, stratum * (i + last - 1)))
    return [since + start for start, _ in spans], [since + end for _, end in spans]
