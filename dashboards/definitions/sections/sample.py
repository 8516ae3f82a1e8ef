"""A bounded sample of a model's raw rows: the first events of each interval of the time range.

A query reads at most `POINTS` intervals times `ROWS` rows by the index on time, regardless
of the traffic.
"""

POINTS = 60  # intervals of a chart
ROWS = 1_000  # per interval
LABELS = 500_000  # in the time range

SLOTS = """\
(SELECT start FROM generate_series(
   time_bucket('$__interval', $__timeFrom()::timestamptz), $__timeTo()::timestamptz,
   '$__interval'::interval) AS start) AS slot"""


def rows(table: str, columns: str, alias: str, rows: int = ROWS) -> str:
    """SQL to append to `SLOTS`: the first rows of each interval that have a score."""
    return f"""\
CROSS JOIN LATERAL (
  SELECT {columns} FROM {table}
   WHERE event_time >= slot.start AND event_time < slot.start + '$__interval'::interval
     AND $__timeFilter(event_time) AND score IS NOT NULL
   ORDER BY event_time, event_id LIMIT {rows}) AS {alias}"""
