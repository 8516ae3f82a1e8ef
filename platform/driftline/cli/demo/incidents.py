"""The incidents in the demo's stream, judged day by day as in a live run."""

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

_MAX_INCIDENTS = 1_000


def judge(config: Config) -> Sequence[Incident]:
    """Judge every window of the stream, oldest first.

    Returns:
        The incidents, oldest first.
    """
    Runner(config, [settings.MODEL]).run(until_idle=True)
    with connect(config.local_postgres(), "read") as connection:
        history = incidents.history(connection, settings.MODEL, _MAX_INCIDENTS)
    return sorted(history, key=lambda incident: (incident.since, incident.id))


def summary(history: Sequence[Incident], config: Config) -> RenderableType:
    """The incidents, and how many tests of how many windows were run."""
    with connect(config.local_postgres(), "read") as connection:
        tests: Counter[str] = Counter(
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
        *("from", "to", "family", "severity", "columns, most significant first"),
        title=f"incidents of {settings.MODEL}: April to December against January to March",
        title_justify="left",
    )
    for incident in history:
        columns = list(dict.fromkeys(c["column"] for c in incident.contributors if c["column"]))
        table.add_row(
            f"{incident.since:%Y-%m-%d}",
            f"{incident.last:%Y-%m-%d}" if incident.resolved_at else "still open",
            incident.family,
            incident.severity,
            Text(", ".join(columns) or incident.summary),
        )
    judged = (
        f"{tests['ok'] + tests['alarm']:,} tests of {windows[0] if windows else 0:,} windows, "
        f"{tests['alarm']:,} alarms; {tests['not_calibrated']:,} more tests are not calibrated: "
        "the reference of three months is too short for their significance level"
    )
    return Group(table, Text(judged))
