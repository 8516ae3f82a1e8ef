"""The scope of a dashboard: the model selected by its reader, or one fixed model."""

from dataclasses import dataclass, field

from driftline import names
from driftline.config import Model
from driftline.dashboards.panels.macros import quoted

WINDOW = "${window:sqlstring}"
COLUMN = "${column:sqlstring}"
VERSIONS = "version IN (${version:sqlstring})"
ALL_ROWS = "all rows"  # the empty segment; Grafana's variables have no empty values
SEGMENT = (
    f"segment = CASE ${{segment:sqlstring}} WHEN '{ALL_ROWS}' THEN ''"
    " ELSE ${segment:sqlstring} END"
)


@dataclass(frozen=True)
class Scope:
    """What a dashboard shows.

    Attributes:
        uid: UID of the dashboard.
        seconds: window lengths to select from; the first is the default.
        limits: objective of the inference time in ms, by model.
        runbooks: URLs by model.
        preview: URL of the preview, which serves reports.
        name: the model; None when the reader selects one.
        section: the model's section of the config; None as well then.
        range: default time range (from, to) in Grafana's notation.
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
        """URL of the report whose ID is the value of the cell."""
        return self.preview.rstrip("/") + "/reports/${__value.raw}"

    @property
    def windows(self) -> str:
        """SQL condition: the windows of the time range, in a table of the monitors."""
        return f"model = {self.model} AND window_seconds = {WINDOW} AND $__timeFilter(window_end)"

    @property
    def last(self) -> str:
        """SQL: the end of the last judged window with rows in the time range."""
        windows = f"{self.windows} AND rows > 0"
        return f"(SELECT max(window_end) FROM driftline.judged_window WHERE {windows})"


def rows_of(model: str) -> str:
    """SQL name of the table of a model's predictions."""
    return f'driftline."{names.prediction_table(model)}"'


def shadows_of(model: str) -> str:
    """SQL name of the table of the predictions by other versions of a model."""
    return f'driftline."{names.shadow_table(model)}"'


def length(seconds: int) -> str:
    """A duration for display.

    >>> length(3600), length(86400), length(300)
    ('1 h', '1 d', '5 min')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
