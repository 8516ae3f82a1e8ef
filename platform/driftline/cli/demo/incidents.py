"""What the monitors found in the demo's stream: judged as it would have been, day after day."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from driftline.config import Config
from driftline.demo import settings
from driftline.monitors.running.runner import Runner
from driftline.storage.connection import connect
from driftline.storage.monitoring import incidents
from driftline.storage.monitoring.incidents import Incident

_MOST = 1_000


def judge(config: Config) -> Sequence[Incident]:
    """Judge every window of the stream, oldest first.

    Returns:
        The incidents, oldest first.
    """
    Runner(config, [settings.MODEL]).run(until_idle=True)
    with connect(config.local_postgres(), "read") as connection:
        found = incidents.history(connection, settings.MODEL, _MOST)
    return sorted(found, key=lambda one: (one.since, one.id))


def summary(found: Sequence[Incident], config: Config) -> RenderableType:
    """The incidents, and how much was looked at to find them."""
    with connect(config.local_postgres(), "read") as connection:
        looks: Counter[str] = Counter(
            dict(
                connection.execute(
                    """SELECT status, count(*) FROM driftline.verdict
                        WHERE model = %s GROUP BY status""",
                    [settings.MODEL],
                ).fetchall()
            )
        )
        windows = connection.execute(
            "SELECT count(*) FROM driftline.judged_window WHERE model = %s", [settings.MODEL]
        ).fetchone()
    table = Table(
        *("from", "to", "family", "severity", "columns, the surest change first"),
        title=f"incidents of {settings.MODEL}: April to December against January to March",
        title_justify="left",
    )
    for one in found:
        columns = list(dict.fromkeys(c["column"] for c in one.contributors if c["column"]))
        table.add_row(
            f"{one.since:%Y-%m-%d}",
            f"{one.last:%Y-%m-%d}" if one.resolved_at else "still open",
            one.family,
            one.severity,
            Text(", ".join(columns) or one.summary),
        )
    judged = (
        f"{looks['ok'] + looks['alarm']:,} looks at {windows[0] if windows else 0:,} windows were "
        f"judged, {looks['alarm']:,} alarmed; {looks['not_calibrated']:,} more are not calibrated: "
        "three months support no rarer level"
    )
    return Group(table, Text(judged))
