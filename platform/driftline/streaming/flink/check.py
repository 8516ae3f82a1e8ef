"""Whether a model's job could run: the definition by itself, then with the services it needs."""

from driftline.config import Config, Model
from driftline.errors import ConfigError, DriftlineError, ServiceError
from driftline.kafka.client_settings import topics
from driftline.storage.connection import connect
from driftline.storage.tables import schema
from driftline.streaming.queries import query
from driftline.streaming.rollout.ready import candidates
from driftline.streaming.scoring.decode import is_tensor
from driftline.streaming.scoring.features import FeatureDefinition

_PATIENCE = 15.0  # seconds for the broker's answer


def check_model(config: Config, name: str) -> None:
    """See that the config alone describes a job that could run.

    Raises:
        ConfigError: naming the model and what is wrong.
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
            known = ", ".join(features.names)
            raise ConfigError(f"model {name!r}: segment {segment!r} is no feature (there: {known})")
        if is_tensor(features.field(segment).type):
            raise ConfigError(
                f"model {name!r}: segment {segment!r} is a tensor: name a text or bool"
            )


def check_ready(config: Config, name: str) -> None:
    """See that the database, the topics and the model's version are there for its job.

    Raises:
        ConfigError, RegistryError, SchemaError: what is missing, and how to make it.
        ServiceError: a service is away, or has no such topic.
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
    there = topics(kafka, _PATIENCE)
    wanted = [model.input.topic]
    wanted += [section.topic for section in (model.output, model.labels) if section is not None]
    missing = [topic for topic in wanted if topic not in there]
    if missing:
        raise ServiceError(
            f"Kafka at {kafka.bootstrap!r} has no topic {', '.join(map(repr, missing))}: create "
            "it, or correct its name in driftline.yaml"
        )
