"""The topics that models need: which exist, what is wrong with them, and creating the missing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from driftline.config import Config, Kafka
from driftline.config.types import written
from driftline.errors import ServiceError
from driftline.kafka.client_settings import Complaints
from driftline.wording import counted

_TIMEOUT = 5.0  # seconds for one answer of the broker
_HOUR = timedelta(hours=1)  # a restart may take as long; what expires meanwhile is lost


@dataclass(frozen=True)
class NeededTopic:
    """A topic that the config names.

    Attributes:
        uses: what it is for, such as "events of payments".
        readers: subtasks of a job that read it; 0 where the job only writes it.
    """

    name: str
    uses: tuple[str, ...]
    readers: int


@dataclass(frozen=True)
class TopicSettings:
    """Settings of a topic; None for the broker's default, or for a retention without a limit.

    Attributes:
        max_message_size: bytes.
    """

    partitions: int | None = None
    replication: int | None = None
    retention: timedelta | None = None
    max_message_size: int | None = None
    compacted: bool = False


def needed_topics(config: Config, models: Iterable[str]) -> list[NeededTopic]:
    """The topics of events, predictions and labels of some models, each topic once.

    Raises:
        ConfigError: there is no such model.
    """
    needed: dict[str, NeededTopic] = {}
    for model in models:
        section = config.model(model)
        topics = [(section.input.topic, "events", config.flink.parallelism)]
        topics += [(section.output.topic, "predictions", 0)] if section.output else []
        topics += [(section.labels.topic, "labels", 1)] if section.labels else []
        for name, what, readers in topics:
            previous = needed.get(name, NeededTopic(name, (), 0))
            uses = (*previous.uses, f"{what} of {model}")
            needed[name] = NeededTopic(name, uses, max(previous.readers, readers))
    return list(needed.values())


def existing_topics(settings: Kafka, names: Iterable[str]) -> dict[str, TopicSettings]:
    """The settings of those topics that the broker has.

    Parameters:
        settings: a section with a real address: `Config.local_kafka()`.

    Raises:
        ServiceError: the broker does not answer, or refuses the account.
    """
    complaints = Complaints()
    admin = AdminClient(complaints.settings(settings))
    try:
        listed = admin.list_topics(timeout=_TIMEOUT).topics
        topics = {name: listed[name] for name in names if name in listed}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        answers = admin.describe_configs(resources, request_timeout=_TIMEOUT) if topics else {}
        configs = {resource.name: answer.result() for resource, answer in answers.items()}
    except KafkaException as error:
        reason = complaints.explain(admin, error)
        raise ServiceError(
            f"can't read the topics of Kafka at {settings.bootstrap!r}: {reason}"
        ) from None
    return {
        name: _settings(topic.partitions, {k: v.value for k, v in configs[name].items()})
        for name, topic in topics.items()
    }


def create(settings: Kafka, names: Iterable[str], requested: TopicSettings) -> None:
    """Create topics; a topic that somebody else has created meanwhile is left as it is.

    Raises:
        ServiceError: the broker refuses one; those before it exist.
    """
    complaints = Complaints()
    admin = AdminClient(complaints.settings(settings))
    new = [_new_topic(name, requested) for name in names]
    answers = admin.create_topics(new, request_timeout=_TIMEOUT) if new else {}
    for name, answer in answers.items():
        try:
            answer.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            reason = complaints.reason(admin, error.args[0])
            raise ServiceError(
                f"can't create topic {name!r}: {reason}: check the requested settings, and that "
                "the account may create topics"
            ) from None


def problems(topic: NeededTopic, existing: TopicSettings | None) -> Iterator[str]:
    """What is wrong with a topic, and how to fix it.

    >>> topic = NeededTopic("payments", ("events of payments",), readers=4)
    >>> for problem in problems(topic, TopicSettings(2, 1, timedelta(days=7))):
    ...     print(problem)
    2 partitions for 4 readers: 2 of them stay idle; add partitions or lower flink.parallelism
    """
    if existing is None:
        yield "does not exist: run 'driftline topics create'"
        return
    if not topic.readers:
        return
    if existing.compacted:
        yield "is compacted, so Kafka may delete unread records: set cleanup.policy to delete"
    if existing.partitions is not None and (idle := topic.readers - existing.partitions) > 0:
        yield (
            f"{counted(existing.partitions, 'partition')} for {topic.readers} readers: {idle} of "
            "them stay idle; add partitions or lower flink.parallelism"
        )
    if existing.retention is not None and existing.retention < _HOUR:
        yield (
            f"records expire after {shown(existing.retention)}: a job that is down for longer "
            "loses them; raise retention.ms"
        )


def differences(requested: TopicSettings, existing: TopicSettings) -> Iterator[str]:
    """The settings of an existing topic that differ from what is requested.

    >>> list(differences(TopicSettings(partitions=4), TopicSettings(2, 1)))
    ['partitions: 2, requested 4']
    """
    for name in ("partitions", "replication", "retention", "max_message_size"):
        wish, actual = getattr(requested, name), getattr(existing, name)
        if wish not in (None, actual):
            yield f"{name.replace('_', ' ')}: {shown(actual)}, requested {shown(wish)}"


def shown(setting: int | timedelta | None) -> str:
    """A setting as a person writes it."""
    if setting is None:
        return "no limit"
    if not isinstance(setting, timedelta):
        return str(setting)
    return written(setting) if setting < _HOUR else f"{setting / _HOUR:g} h"


def _settings(partitions: dict[int, object], values: dict[str, str]) -> TopicSettings:
    milliseconds = int(values["retention.ms"])
    replicas = [len(getattr(one, "replicas", ())) for one in partitions.values()]
    return TopicSettings(
        partitions=len(partitions),
        replication=min(replicas, default=0),
        retention=timedelta(milliseconds=milliseconds) if milliseconds >= 0 else None,
        max_message_size=int(values["max.message.bytes"]),
        compacted="compact" in values["cleanup.policy"],
    )


def _new_topic(name: str, requested: TopicSettings) -> NewTopic:
    config: dict[str, str] = {}
    if requested.retention is not None:
        config["retention.ms"] = f"{requested.retention.total_seconds() * 1_000:.0f}"
    if requested.max_message_size is not None:
        config["max.message.bytes"] = str(requested.max_message_size)
    return NewTopic(
        name,
        num_partitions=requested.partitions or -1,  # -1: the broker's default
        replication_factor=requested.replication or -1,
        config=config,
    )
