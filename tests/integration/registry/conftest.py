"""A registered model with three versions, its tables, and live events to insert."""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import yaml
from psycopg import sql
from typer.testing import CliRunner, Result

from driftline.cli.models import models
from driftline.config import Config, load
from driftline.registry.client import connect as connect_registry
from driftline.registry.register import register
from driftline.services.stack import Stack
from driftline.storage.connection import connect
from driftline.storage.tables import schema
from tests.unit.registry import saved_models

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

MODEL = "payments"
START = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = pa.schema(
    [("x", pa.float64()), ("k", pa.int64()), ("c", pa.string()), ("b", pa.bool_())]
)


def features(n: int = 500, seed: int = 0) -> pa.Table:
    """Rows that the versions can score."""
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "x": random.normal(size=n),
            "k": random.integers(0, 9, n),
            "c": random.choice(["a", "b"], n),
            "b": random.random(n) < 0.5,
        }
    )


@dataclass
class Registered:
    """A model of the config with its versions."""

    path: Path
    name: str
    client: "MlflowClient"

    @property
    def config(self) -> Config:
        return load(self.path)

    def gates(self, **gates: Any) -> None:
        """Ask for these gates from now on."""
        self.set("gates", **gates)

    def set(self, section: str, **settings: Any) -> None:
        """Replace a section of the model's config."""
        content = yaml.safe_load(self.path.read_text())
        content["models"][MODEL][section] = settings
        self.path.write_text(yaml.safe_dump(content))

    def run(self, *arguments: str) -> Result:
        """Run a command; a `DriftlineError` is in the result's exception."""
        environment = {**os.environ, "COLUMNS": "250", "DRIFTLINE_CONFIG": str(self.path)}
        environment["DRIFTLINE_USER"] = "tester"
        return CliRunner(env=environment).invoke(models, list(arguments))

    def json(self, *arguments: str) -> Any:
        """What a command that succeeds prints as JSON."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads(result.stdout)

    def alias(self, alias: str = "champion") -> int | None:
        """The version that an alias points to."""
        version = self.client.get_registered_model(self.name).aliases.get(alias)
        return None if version is None else int(version)

    def point(self, version: int, alias: str = "champion") -> None:
        """Move an alias behind driftline's back."""
        self.client.set_registered_model_alias(self.name, alias, str(version))

    def tags(self, version: int) -> dict[str, str]:
        return dict(self.client.get_model_version(self.name, str(version)).tags)

    def sql(self, statement: str, *values: Any) -> Any:
        """Run one statement as the owner; its rows, if it has any."""
        with connect(self.config.local_postgres(), "migrate", autocommit=True) as connection:
            cursor = connection.execute(statement, list(values))
            return cursor.fetchall() if cursor.description else None

    def quarantine(self, version: int) -> None:
        self.sql(
            "INSERT INTO driftline.quarantine (model, version, digest, reason, detail, worker)"
            " VALUES (%s, %s, 'd', 'hangs', 'no answer in 60 s', 'w1')",
            MODEL,
            version,
        )

    def live(
        self,
        champion: npt.NDArray[np.float64],
        candidate: npt.NDArray[np.float64],
        *,
        versions: tuple[int, int] = (1, 2),
        label: npt.NDArray[np.float64] | None = None,
        milliseconds: tuple[float, float] = (2.0, 2.0),
    ) -> None:
        """Log n events a second apart as served by the one version and shadowed by the other."""
        served = "event_time event_id model_version role score late source kafka_offset kafka_time"
        served += " scored_at inference_ms lag_ms"
        shadow = "event_time event_id model_version role score source kafka_offset scored_at"
        shadow += " inference_ms"
        truth = "label_time model event_id label source kafka_offset kafka_time"
        with connect(self.config.local_postgres(), "write") as connection:

            def copy(table: str, columns: str, rows: Iterator[tuple[Any, ...]]) -> None:
                statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
                    sql.Identifier("driftline", table),
                    sql.SQL(", ").join(map(sql.Identifier, columns.split())),
                )
                with connection.cursor().copy(statement) as stream:
                    for row in rows:
                        stream.write_row(row)

            times = [START + timedelta(seconds=i) for i in range(len(champion))]
            first, other = versions
            fast, slow = milliseconds
            copy(
                "prediction_payments",
                served,
                (
                    (t, f"e{i}", first, "champion", float(s), False, 1, i, t, t, fast, 1.0)
                    for i, (t, s) in enumerate(zip(times, champion, strict=True))
                ),
            )
            copy(
                "shadow_payments",
                shadow,
                (
                    (t, f"e{i}", other, "shadow", None if np.isnan(s) else float(s), 1, i, t, slow)
                    for i, (t, s) in enumerate(zip(times, candidate, strict=True))
                ),
            )
            if label is not None:
                arrivals = [START + timedelta(hours=2, seconds=i) for i in range(len(champion))]
                copy(
                    "label",
                    truth,
                    (
                        (t, MODEL, f"e{i}", float(v), 2, i, t)
                        for i, (t, v) in enumerate(zip(arrivals, label, strict=True))
                    ),
                )


@pytest.fixture(scope="session")
def logged(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> list["ModelVersion"]:
    """Versions of factors 2, 2.1 and 9 of a model that no test changes."""
    settings = Config(state=stack.folder).local_mlflow()
    folder, name = tmp_path_factory.mktemp("versions"), f"logged-{uuid.uuid4().hex[:8]}"
    for factor in (2.0, 2.1, 9.0):
        path = saved_models.save(folder / str(factor), factor)
        register(settings, name, path, features())
    client = connect_registry(settings)
    return [client.get_model_version(name, str(version)) for version in (1, 2, 3)]


def again(client: "MlflowClient", name: str, versions: list["ModelVersion"]) -> None:
    """The same files as versions of another model, with runs of their own."""
    client.create_registered_model(name)
    experiment = client.create_experiment(name)
    for version in versions:
        run = client.create_run(experiment).info.run_id
        model_id = version.source.removeprefix("models:/")
        client.create_model_version(
            name, version.source, run_id=run, tags=dict(version.tags), model_id=model_id
        )


@pytest.fixture
def registered(
    stack: Stack,
    empty_database: Callable[[], Config],
    logged: list["ModelVersion"],
    tmp_path: Path,
) -> Registered:
    """Versions 1 (2 x + k, the champion), 2 (2.1 x + k) and 3 (9 x + k) of a new model."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    database = empty_database()
    content = json.loads(database.model_dump_json(exclude_none=True))
    content["models"] = {
        MODEL: {
            "input": {
                "topic": "t",
                "event_id": "id",
                "event_time": "time",
                "fields": {"x": "float", "k": "int", "c": "string", "b": "bool"},
            },
            "registry": {"name": name},
            "labels": {"topic": "l"},
        }
    }
    path = tmp_path / "driftline.yaml"
    path.write_text(yaml.safe_dump(content))
    config = load(path)
    schema.migrate(config, {MODEL: FEATURES})
    client = connect_registry(config.local_mlflow())
    again(client, name, logged)
    model = Registered(path, name, client)
    assert model.json("promote", MODEL, "1")["kind"] == "first"
    return model
