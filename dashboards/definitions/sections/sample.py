"""A bounded sample of a model's raw rows: the first events of each stretch of the range.

A query reads at most `POINTS` stretches times `ROWS` rows by the index on time, whatever the
traffic is.
"""

POINTS = 60  # of a chart
ROWS = 1_000  # of a stretch
LABELS = 500_000  # of the range

SLOTS = """\
(SELECT start FROM generate_series(
   time_bucket('$__interval', $__timeFrom()::timestamptz), $__timeTo()::timestamptz,
   '$__interval'::interval) AS start) AS slot"""


def rows(table: str, columns: str, alias: str, rows: int = ROWS) -> str:
    """To be joined after `SLOTS`: the first rows of each stretch that have a score."""
    return f"""\
CROSS JOIN LATERAL (
  SELECT {columns} FROM {table}
   WHERE event_time >= slot.start AND event_time < slot.start + '$__interval'::interval
     AND $__timeFilter(event_time) AND score IS NOT NULL
   ORDER BY event_time, event_id LIMIT {rows}) AS {alias}"""
