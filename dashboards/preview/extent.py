"""The time range that has data (`All data` on the page), read by indexes."""

from driftline import names
from driftline.dashboards.panels.macros import quoted
from driftline.dashboards.preview.reader import Reader

_MODELS = 500  # of the fleet, whose range is read model by model

_EVENTS = """\
SELECT min(profiled.first), max(greatest(profiled.last, judged.last))
  FROM (SELECT name FROM driftline.model WHERE {which} ORDER BY name LIMIT {limit}) AS model
 CROSS JOIN LATERAL (
   SELECT min(bucket) AS first, max(bucket) AS last FROM driftline.profile
    WHERE model = model.name) AS profiled
 CROSS JOIN LATERAL (
   SELECT max(window_end) AS last FROM driftline.judged_window
    WHERE model = model.name) AS judged"""
_COMMITS = """\
SELECT min(commits.first), max(commits.last)
  FROM (SELECT id FROM driftline.source JOIN driftline.model ON model.name = source.model
         WHERE {which} AND stream = 'events' LIMIT {limit}) AS source
 CROSS JOIN LATERAL (
   SELECT min(committed_at) AS first, max(committed_at) AS last FROM driftline.ledger
    WHERE ledger.source = source.id) AS commits"""


def extent(reader: Reader, uid: str, model: str | None) -> tuple[int, int] | None:
    """First and last time with data, in milliseconds since 1970; None without data.

    Parameters:
        uid: UID of the dashboard; Pipeline uses commit times, the others event times.
        model: only this model; None: all models.
    """
    query = _COMMITS if uid == names.PIPELINE_UID else _EVENTS
    which = "true" if model is None else f"model.name = {quoted(model)}"
    first, last = reader.run(query.format(which=which, limit=_MODELS)).rows[0]
    return None if first is None or last is None else (first, last)
