"""Whom a dashboard is about: the model that its reader chooses, or one model of its own."""

from dataclasses import dataclass, field

from driftline import names
from driftline.config import Model
from driftline.dashboards.panels.macros import quoted

WINDOW = "${window:sqlstring}"
COLUMN = "${column:sqlstring}"
VERSIONS = "version IN (${version:sqlstring})"
ALL_ROWS = "all rows"  # what the segment of all rows is called; Grafana has no empty values
SEGMENT = (
    f"segment = CASE ${{segment:sqlstring}} WHEN '{ALL_ROWS}' THEN ''"
    " ELSE ${segment:sqlstring} END"
)


@dataclass(frozen=True)
class Scope:
    """The model of a dashboard.

    Attributes:
        uid: of the dashboard.
        seconds: lengths of windows to choose from, the first by default.
        limits: objective of inference, in ms, by model.
        runbooks: addresses by model.
        preview: address of the preview, which serves reports.
        name: the model, None when the reader chooses one.
        section: its part of the config, None likewise.
        range: from and to, as Grafana takes them.
    """

    uid: str
    seconds: tuple[int, ...]
    limits: dict[str, float] = field(default_factory=dict)
    runbooks: dict[str, str] = field(default_factory=dict)
    preview: str = ""
    name: str | None = None
    section: Model | None = None
    range: tuple[str, str] = ("now-7d", "now")

    @property
    def model(self) -> str:
        """The model's name in SQL."""
        return "${model:sqlstring}" if self.name is None else quoted(self.name)

    @property
    def report(self) -> str:
        """The address of the report whose number a cell has."""
        return self.preview.rstrip("/") + "/reports/${__value.raw}"

    @property
    def windows(self) -> str:
        """In SQL: the windows of the range in a table of the monitors."""
        return f"model = {self.model} AND window_seconds = {WINDOW} AND $__timeFilter(window_end)"

    @property
    def last(self) -> str:
        """In SQL: the end of the last judged window of the range that has rows."""
        windows = f"{self.windows} AND rows > 0"
        return f"(SELECT max(window_end) FROM driftline.judged_window WHERE {windows})"


def rows_of(model: str) -> str:
    """The typed table of a model's predictions, in SQL."""
    return f'driftline."{names.prediction_table(model)}"'


def shadows_of(model: str) -> str:
    """The table of what other versions of a model predicted, in SQL."""
    return f'driftline."{names.shadow_table(model)}"'


def length(seconds: int) -> str:
    """A length of time for people.

    >>> length(3600), length(86400), length(300)
    ('1 h', '1 d', '5 min')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
