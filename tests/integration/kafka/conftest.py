"""Commands on a config with one model, whose topics on the real broker nobody else uses."""

import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from typer.testing import CliRunner, Result

from driftline.cli.app import app
from driftline.config import Config
from driftline.kafka.client_settings import librdkafka
from driftline.services.stack import Stack


class Commands:
    """`driftline` with a config of its own."""

    def __init__(self, kafka: Any, folder: Path, parallelism: int = 1) -> None:
        name = f"topics-{uuid.uuid4().hex[:8]}"
        self.events, self.scored, self.labels = (f"{name}-{part}" for part in ("e", "p", "l"))
        self.admin = AdminClient(librdkafka(kafka))
        self.kafka = kafka
        model = {
            "input": {
                "topic": self.events,
                "event_id": "id",
                "event_time": "time",
                "fields": {"amount": "float"},
            },
            "registry": {"name": "payments"},
            "output": {"topic": self.scored},
            "labels": {"topic": self.labels, "type": "bool"},
        }
        content: dict[str, Any] = {
            "state": str(folder / "state"),
            "kafka": {"bootstrap": kafka.bootstrap, "username": kafka.username},
            "flink": {"parallelism": parallelism},
            "models": {"payments": model},
        }
        content["kafka"] |= kafka.model_dump(
            mode="json", include={"security_protocol", "sasl_mechanism"}
        )
        password = folder / "password"
        if kafka.password is not None:
            password.write_text(kafka.password.read())
            content["kafka"]["password"] = {"file": str(password)}
        self.path = folder / "driftline.yaml"
        self.path.write_text(yaml.safe_dump(content))

    def __call__(self, *words: str, typed: bytes | None = None) -> Result:
        return CliRunner().invoke(app, [*words, "--config", str(self.path)], input=typed)

    def topic(self, name: str, **config: str) -> None:
        new = NewTopic(name, 2, 1, config=config)
        self.admin.create_topics([new])[name].result(30)

    def setting(self, name: str, key: str) -> str:
        resource = ConfigResource(ResourceType.TOPIC, name)
        value: str = self.admin.describe_configs([resource])[resource].result(30)[key].value
        return value


@pytest.fixture
def make_commands(stack: Stack, tmp_path: Path) -> Any:
    """Makes `Commands`, given the parallelism of the job."""
    kafka = Config(state=stack.folder).local_kafka()
    return lambda parallelism=1: Commands(kafka, tmp_path, parallelism)


@pytest.fixture
def commands(make_commands: Any) -> Any:
    """`Commands` of a job with parallelism 1."""
    return make_commands()
