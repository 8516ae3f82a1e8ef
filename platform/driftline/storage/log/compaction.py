"""The ledger in few rows: what one source committed in one day becomes one row."""

from datetime import timedelta

from driftline.storage import locks
from driftline.storage.connection import Connection

# Younger rows are left alone: they are what a restarted job asks for.
_SETTLED = timedelta(hours=1)

# Only rows that agree with themselves are merged, so that no fault is hidden from the audit:
# no offset twice, and as many outcomes as offsets.
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
    WITH gone AS (
        DELETE FROM driftline.ledger
         WHERE source = %(source)s AND committed_at >= %(day)s
           AND committed_at < least(%(day)s + interval '1 day', %(until)s)
        RETURNING *)
    INSERT INTO driftline.ledger (committed_at, source, first_offset, last_offset, offsets,
                                  logged, duplicate, rejected, filtered)
    SELECT max(committed_at), source, min(first_offset), max(last_offset), range_agg(offsets),
           sum(logged), sum(duplicate), sum(rejected), sum(filtered)
      FROM gone GROUP BY source"""


def compact(connection: Connection, model: str, settled: timedelta = _SETTLED) -> int:
    """Merge the model's ledger rows; gives how many days of sources were merged.

    Each merge is one transaction: whoever reads sees the old rows or the new one. When another
    compaction of the model runs, it ends.

    Parameters:
        connection: as role `write`, in no transaction.
        settled: rows that were committed later than this ago stay as they are.
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
