"""What the page may ask for: panels by number and values of variables, never SQL."""

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


class AskError(DriftlineError):
    """The page asked for what no dashboard has."""


class Ask(BaseModel):
    """A request of the page: a range and the values of variables.

    Attributes:
        since, until: milliseconds since 1970.
        variables: by name; a list where several are chosen.
        points: of a chart, at most.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: _Time
    until: _Time
    variables: dict[_Text, _Text | Annotated[list[_Text], Field(max_length=1_000)]] = {}
    points: int = Field(500, ge=1, le=5_000)
    panel: int | None = None

    @property
    def start(self) -> datetime:
        """Of the range."""
        return datetime.fromtimestamp(self.since / 1000, UTC)

    @property
    def end(self) -> datetime:
        """Of the range; after its start."""
        return datetime.fromtimestamp(max(self.until, self.since + 1) / 1000, UTC)


class Page:
    """One dashboard, and answers about it.

    Parameters:
        dashboard: as `generate` made it.
        reader: of the database.
    """

    def __init__(self, dashboard: dict[str, Any], reader: Reader) -> None:
        self.dashboard = dashboard
        self._reader = reader
        self._panels = {panel["id"]: panel for panel in dashboard["panels"]}

    def panel(self, ask: Ask) -> dict[str, Any]:
        """The data of one panel: a list of series, or a table, for each of its queries.

        Raises:
            AskError: there is no such panel.
            QueryError, ServiceError: see `Reader.run`.
        """
        panel = self._panels.get(ask.panel)
        if panel is None or "targets" not in panel:
            raise AskError(f"no panel {ask.panel!r} on {self.dashboard['uid']!r}: load it anew")
        points = min(ask.points, int(panel.get("maxDataPoints", ask.points)))
        step = interval(ask.end - ask.start, points, panel.get("interval"))
        answers: list[Any] = []
        for target in panel["targets"]:
            answer = self._run(target["rawSql"], ask, step, ask.variables)
            charted = target["format"] == "time_series"
            answers.append(frames.series(answer) if charted else frames.table(answer))
        return {"interval": step / timedelta(milliseconds=1), "answers": answers}

    def variables(self, ask: Ask) -> list[dict[str, Any]]:
        """Each variable with its choices; what is chosen and no longer there becomes the first."""
        chosen: dict[str, Value] = {}
        found = []
        for variable in self.dashboard["templating"]["list"]:
            answer = self._run(variable["query"], ask, timedelta(minutes=1), chosen)
            texts = _column(answer.columns, "__text")
            values = _column(answer.columns, "__value")
            options = [
                {"text": str(row[texts]), "value": str(row[values])}
                for row in answer.rows
                if row[values] is not None
            ]
            name, many = variable["name"], bool(variable["multi"])
            picked = _picked(ask.variables.get(name), [one["value"] for one in options], many)
            chosen[name] = picked
            found.append(
                {
                    "name": name,
                    "label": variable["label"],
                    "many": many,
                    "options": options,
                    "value": picked,
                }
            )
        return found

    def annotations(self, ask: Ask) -> list[dict[str, Any]]:
        """Events of the range: name, colour, and rows of time, end, text."""
        found = []
        for annotation in self.dashboard["annotations"]["list"]:
            sql = annotation["target"]["rawSql"]
            answer = self._run(sql, ask, timedelta(minutes=1), ask.variables)
            rows = [row[:3] for row in answer.rows]
            found.append(
                {"name": annotation["name"], "colour": annotation["iconColor"], "rows": rows}
            )
        return found

    def _run(self, sql: str, ask: Ask, step: timedelta, variables: Mapping[str, Value]) -> Any:
        known = {one["name"]: one for one in self.dashboard["templating"]["list"]}
        unknown = [name for name in variables if name not in known]
        if unknown:
            raise AskError(f"no variable {unknown[0]!r} on {self.dashboard['uid']!r}")
        filled = {name: variables.get(name, "") or "" for name in known}
        return self._reader.run(expand(sql, ask.start, ask.end, step, filled))


def _column(columns: list[str], name: str) -> int:
    return columns.index(name) if name in columns else 0


def _picked(asked: Value | None, values: list[str], many: bool) -> Value:
    """What of the asked values is there; all, or the first, when nothing is."""
    wanted = [asked] if isinstance(asked, str) else list(asked or ())
    there = [value for value in wanted if value in values]
    if many:
        return there or values
    return there[0] if there else values[0] if values else ""
