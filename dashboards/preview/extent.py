"""From when to when there are data, by indexes: what the page calls `all data`."""

from driftline import names
from driftline.dashboards.panels.macros import quoted
from driftline.dashboards.preview.reader import Reader

_MODELS = 500  # of the fleet, whose range is read model by model

_EVENTS = """\
SELECT min(found.first), max(greatest(found.last, judged.last))
  FROM (SELECT name FROM driftline.model WHERE {which} ORDER BY name LIMIT {limit}) AS model
 CROSS JOIN LATERAL (
   SELECT min(bucket) AS first, max(bucket) AS last FROM driftline.profile
    WHERE model = model.name) AS found
 CROSS JOIN LATERAL (
   SELECT max(window_end) AS last FROM driftline.judged_window
    WHERE model = model.name) AS judged"""
_COMMITS = """\
SELECT min(found.first), max(found.last)
  FROM (SELECT id FROM driftline.source JOIN driftline.model ON model.name = source.model
         WHERE {which} AND stream = 'events' LIMIT {limit}) AS one
 CROSS JOIN LATERAL (
   SELECT min(committed_at) AS first, max(committed_at) AS last FROM driftline.ledger
    WHERE source = one.id) AS found"""


def extent(reader: Reader, uid: str, model: str | None) -> tuple[int, int] | None:
    """First and last instant, in milliseconds; None without data.

    Parameters:
        uid: of the dashboard; the pipeline's goes by commits, others by events.
        model: of that model only.
    """
    query = _COMMITS if uid == names.PIPELINE_UID else _EVENTS
    which = "true" if model is None else f"model.name = {quoted(model)}"
    first, last = reader.run(query.format(which=which, limit=_MODELS)).rows[0]
    return None if first is None or last is None else (first, last)
