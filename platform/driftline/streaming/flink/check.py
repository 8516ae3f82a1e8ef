"""Checks that a model's job can run: its definition, then the services that it needs."""

from driftline.config import Config, Model
from driftline.errors import ConfigError, DriftlineError, ServiceError
from driftline.kafka.client_settings import topics
from driftline.storage.connection import connect
from driftline.storage.tables import schema
from driftline.streaming.queries import query
from driftline.streaming.rollout.prepare import candidates
from driftline.streaming.scoring.decode import is_tensor
from driftline.streaming.scoring.features import FeatureDefinition

_BROKER_SECONDS = 15.0  # time limit of a request to the broker


def check_model(config: Config, name: str) -> None:
    """Check that the config describes a job that can run, without using any service.

    Raises:
        ConfigError: with the model and the problem.
    """
    model = config.model(name)
    try:
        if model.features.sql is not None:
            query.check(model.features.sql)
            query.mentioned_fields(model)
        features = FeatureDefinition(model).schema
    except ConfigError as error:
        raise ConfigError(f"model {name!r}: {error}") from error
    for segment in model.segments:
        if segment not in features.names:
            choices = ", ".join(features.names)
            raise ConfigError(
                f"model {name!r}: segment {segment!r} is not a feature: use {choices}"
            )
        if is_tensor(features.field(segment).type):
            raise ConfigError(
                f"model {name!r}: segment {segment!r} is a tensor: use a string or bool feature"
            )


def check_ready(config: Config, name: str) -> None:
    """Check that the database, the topics and a version of the model are available for its job.

    Raises:
        ConfigError, RegistryError, SchemaError: with what is missing, and how to create it.
        ServiceError: a service is unavailable, or a topic is missing.
    """
    check_model(config, name)
    model = config.model(name)
    with connect(config.local_postgres(), "write", autocommit=True) as connection:
        schema.check(connection, name, FeatureDefinition(model).schema)
        problems: list[DriftlineError] = []
        startable = next(candidates(config, name, connection, problems), None)
    if startable is None:
        raise problems[0]
    _check_topics(config, model)


def _check_topics(config: Config, model: Model) -> None:
    kafka = config.local_kafka()
    existing = topics(kafka, _BROKER_SECONDS)
    required = [model.input.topic]
    required += [section.topic for section in (model.output, model.labels) if section is not None]
    missing = [topic for topic in required if topic not in existing]
    if missing:
        raise ServiceError(
            f"Kafka at {kafka.bootstrap!r} has no topic {', '.join(map(repr, missing))}: create "
            "it, or correct its name in driftline.yaml"
        )
