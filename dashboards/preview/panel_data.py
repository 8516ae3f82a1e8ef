"""The data requests of the page: panels by number and values of variables, never SQL."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from driftline.dashboards.panels.macros import Value, expand
from driftline.dashboards.preview import frames
from driftline.dashboards.preview.interval import interval
from driftline.dashboards.preview.reader import Reader
from driftline.errors import DriftlineError

_Text = Annotated[str, Field(max_length=300, pattern=r"^[^\x00]*$")]
_Time = Annotated[int, Field(ge=0, le=253_402_300_799_000)]  # milliseconds; up to the year 9999


class RequestError(DriftlineError):
    """A request for something that no dashboard has."""


class DataRequest(BaseModel):
    """A request of the page: a time range and the values of variables.

    Attributes:
        since, until: milliseconds since 1970.
        variables: values by name; a list for several values.
        points: maximum number of points of a chart.
        panel: the panel's id, for panel data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: _Time
    until: _Time
    variables: dict[_Text, _Text | Annotated[list[_Text], Field(max_length=1_000)]] = {}
    points: int = Field(500, ge=1, le=5_000)
    panel: int | None = None

    @property
    def start(self) -> datetime:
        """Start of the time range."""
        return datetime.fromtimestamp(self.since / 1000, UTC)

    @property
    def end(self) -> datetime:
        """End of the time range, always after its start."""
        return datetime.fromtimestamp(max(self.until, self.since + 1) / 1000, UTC)


class DashboardData:
    """The data of one dashboard.

    Parameters:
        dashboard: a generated dashboard.
        reader: access to the database.
    """

    def __init__(self, dashboard: dict[str, Any], reader: Reader) -> None:
        self.dashboard = dashboard
        self._reader = reader
        self._panels = {panel["id"]: panel for panel in dashboard["panels"]}

    def panel(self, request: DataRequest) -> dict[str, Any]:
        """The data of one panel: per query a list of series or a table.

        Raises:
            RequestError: the dashboard has no such panel.
            QueryError, ServiceError: see `Reader.run`.
        """
        panel = self._panels.get(request.panel)
        if panel is None or "targets" not in panel:
            uid = self.dashboard["uid"]
            raise RequestError(f"no panel {request.panel!r} on dashboard {uid!r}: reload the page")
        points = min(request.points, int(panel.get("maxDataPoints", request.points)))
        step = interval(request.end - request.start, points, panel.get("interval"))
        answers: list[Any] = []
        for target in panel["targets"]:
            answer = self._run(target["rawSql"], request, step, request.variables)
            is_series = target["format"] == "time_series"
            answers.append(frames.series(answer) if is_series else frames.table(answer))
        return {"interval": step / timedelta(milliseconds=1), "answers": answers}

    def variables(self, request: DataRequest) -> list[dict[str, Any]]:
        """All variables with options; a value that no longer exists becomes the first option."""
        selected: dict[str, Value] = {}
        variables = []
        for variable in self.dashboard["templating"]["list"]:
            answer = self._run(variable["query"], request, timedelta(minutes=1), selected)
            texts = _column(answer.columns, "__text")
            values = _column(answer.columns, "__value")
            options = [
                {"text": str(row[texts]), "value": str(row[values])}
                for row in answer.rows
                if row[values] is not None
            ]
            name, many = variable["name"], bool(variable["multi"])
            existing = [option["value"] for option in options]
            selected[name] = _selected(request.variables.get(name), existing, many)
            variables.append(
                {
                    "name": name,
                    "label": variable["label"],
                    "many": many,
                    "options": options,
                    "value": selected[name],
                }
            )
        return variables

    def annotations(self, request: DataRequest) -> list[dict[str, Any]]:
        """Annotations of the time range: name, colour, and rows of time, end, text."""
        annotations = []
        for annotation in self.dashboard["annotations"]["list"]:
            sql = annotation["target"]["rawSql"]
            answer = self._run(sql, request, timedelta(minutes=1), request.variables)
            rows = [row[:3] for row in answer.rows]
            annotations.append(
                {"name": annotation["name"], "colour": annotation["iconColor"], "rows": rows}
            )
        return annotations

    def _run(
        self, sql: str, request: DataRequest, step: timedelta, variables: Mapping[str, Value]
    ) -> Any:
        existing = [variable["name"] for variable in self.dashboard["templating"]["list"]]
        unknown = [name for name in variables if name not in existing]
        if unknown:
            raise RequestError(f"no variable {unknown[0]!r} on dashboard {self.dashboard['uid']!r}")
        values = {name: variables.get(name, "") or "" for name in existing}
        return self._reader.run(expand(sql, request.start, request.end, step, values))


def _column(columns: list[str], name: str) -> int:
    return columns.index(name) if name in columns else 0


def _selected(requested: Value | None, values: list[str], many: bool) -> Value:
    """The requested values that exist; if none does, all values or the first one."""
    requested = [requested] if isinstance(requested, str) else requested or ()
    existing = [value for value in requested if value in values]
    if many:
        return existing or values
    return existing[0] if existing else values[0] if values else ""
