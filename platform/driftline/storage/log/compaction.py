"""Compaction of the ledger: the rows that one source committed in one day become one row."""

from datetime import timedelta

from driftline.storage import locks
from driftline.storage.connection import Connection

# Younger rows are not merged: a restarted job reads them.
_SETTLED = timedelta(hours=1)

# Only consistent rows are merged, so that no fault is hidden from the audit: no offset is repeated,
# and there are as many outcomes as offsets.
_MERGEABLE = """
    SELECT ledger.source, date_trunc('day', committed_at, 'UTC') AS day
      FROM driftline.ledger JOIN driftline.source ON source.id = ledger.source
     WHERE source.model = %(model)s AND committed_at < %(until)s
     GROUP BY 1, 2
    HAVING count(*) > 1
       AND sum(logged + duplicate + rejected + filtered)
           = (SELECT sum(upper(r) - lower(r)) FROM unnest(range_agg(offsets)) AS r)
     ORDER BY 1, 2"""

_MERGE = """
    WITH merged AS (
        DELETE FROM driftline.ledger
         WHERE source = %(source)s AND committed_at >= %(day)s
           AND committed_at < least(%(day)s + interval '1 day', %(until)s)
        RETURNING *)
    INSERT INTO driftline.ledger (committed_at, source, first_offset, last_offset, offsets,
                                  logged, duplicate, rejected, filtered)
    SELECT max(committed_at), source, min(first_offset), max(last_offset), range_agg(offsets),
           sum(logged), sum(duplicate), sum(rejected), sum(filtered)
      FROM merged GROUP BY source"""


def compact(connection: Connection, model: str, settled: timedelta = _SETTLED) -> int:
    """Merge the model's ledger rows; returns the number of days merged, over all sources.

    Each merge is one transaction: readers see the old rows or the new one. Stops if another
    compaction of the model is running.

    Parameters:
        connection: as role `write`, in no transaction.
        settled: only rows that were committed at least this long ago are merged.
    """
    row = connection.execute("SELECT clock_timestamp() - %s::interval", [settled]).fetchone()
    until = row and row[0]
    mergeable = connection.execute(_MERGEABLE, {"model": model, "until": until}).fetchall()
    for number, (source, day) in enumerate(mergeable):
        with locks.try_transaction(connection, "compact ledger", model) as free:
            if not free:
                return number
            connection.execute(_MERGE, {"source": source, "day": day, "until": until})
    return len(mergeable)
