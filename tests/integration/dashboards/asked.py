"""All statements that Grafana would send for generated dashboards."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from driftline.config import Config
from driftline.dashboards.definitions.generate import generate
from driftline.dashboards.panels.macros import Value, expand
from tests import monitored

VARIABLES: dict[str, Value] = {
    "model": monitored.FRAUD,
    "window": str(monitored.SECONDS),
    "version": ["2", "1"],
    "segment": "all rows",
    "column": "amount",
}


@dataclass(frozen=True)
class Asked:
    """One statement, where it stands, and whether it gives series."""

    where: str
    sql: str
    series: bool

    def __str__(self) -> str:
        return self.where

    def over(
        self, since: datetime, until: datetime, variables: Mapping[str, Value] = VARIABLES
    ) -> str:
        """What the database gets for a range."""
        return expand(self.sql, since, until, timedelta(minutes=10), variables)


def queries(board: dict[str, Any]) -> Iterator[Asked]:
    """Of one dashboard."""
    uid = board["uid"]
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            where = f"{uid}/{panel['title']}/{target['refId']}"
            yield Asked(where, target["rawSql"], target["format"] == "time_series")
    for variable in board["templating"]["list"]:
        yield Asked(f"{uid}/variable/{variable['name']}", variable["query"], series=False)
    for annotation in board["annotations"]["list"]:
        sql = annotation["target"]["rawSql"]
        yield Asked(f"{uid}/annotation/{annotation['name']}", sql, series=False)


ALL = [one for board in generate(monitored.config(Config())) for one in queries(board)]
