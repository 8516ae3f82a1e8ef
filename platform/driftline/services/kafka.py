"""One Kafka node (KRaft broker and controller in one JVM) with password authentication."""

import base64
import os
import signal
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from driftline.private_files import private_folder, write_private
from driftline.services.cache import Say
from driftline.services.files import (
    password,
    require_password,
    require_space,
)
from driftline.services.jars import java, kafka_jars, kafka_version
from driftline.services.ports import LOOPBACK
from driftline.services.process import Command
from driftline.services.run import run
from driftline.services.service import Place

USER = "driftline"
MECHANISM = "SCRAM-SHA-256"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

# A killed broker stays registered until its session times out; a restarted one waits for that.
# The controller's listener is only used within this process, with a second password: the users of
# the client listener are stored in the metadata log that the controller has to read first.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=CLIENT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=CLIENT://{host}:{port}
controller.quorum.bootstrap.servers={host}:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
listener.security.protocol.map=CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-256
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-256
sasl.mechanism.controller.protocol=PLAIN
listener.name.client.sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.client.scram-sha-256.sasl.jaas.config={scram} \
username="{user}" password="{password}";
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config={plain} \
username="controller" password="{controller_password}" \
user_controller="{controller_password}";
log.dirs={data}
message.max.bytes={max_bytes}
replica.fetch.max.bytes={max_bytes}
transaction.max.timeout.ms=900000
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=5000
log.retention.ms=-1
log.retention.bytes=-1
"""
_LOGIN = "org.apache.kafka.common.security."


class Kafka:
    """The broker; its client listener demands SCRAM-SHA-256."""

    name = "kafka"
    section = "kafka"
    port_names: tuple[str, ...] = ("kafka", "kafka_controller")
    stop_signal: signal.Signals = signal.SIGTERM
    start_seconds = 90.0

    def prepare(self, place: Place, say: Say) -> None:
        """Fetch the jars and format the storage, where not done before."""
        require_password(_password_file(place), place.folder / "data")
        jars = kafka_jars(say)
        private_folder(place.folder)
        write_private(_properties(place), _settings(place))
        if not (place.folder / "data" / "meta.properties").exists():
            require_space(place.folder, 1000, "a new Kafka log")
            say("formatting Kafka's storage")
            _format(jars, place)

    def command(self, place: Place) -> Command:
        """The broker's JVM."""
        argv = [java(), "-Xms128m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError"]
        argv += [f"-Dorg.slf4j.simpleLogger.{option}" for option in _LOGGING]
        argv += ["-cp", f"{kafka_jars(_quiet)}/*", "kafka.Kafka", str(_properties(place))]
        return Command(argv, cwd=place.folder)

    def ping(self, place: Place) -> str:
        """The cluster's metadata, read with the password."""
        client = AdminClient(
            {
                "bootstrap.servers": f"{LOOPBACK}:{place.ports['kafka']}",
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": MECHANISM,
                "sasl.username": USER,
                "sasl.password": password(_password_file(place)),
                "log_level": 0,  # do not print that it is not ready yet
            }
        )
        client.list_topics(timeout=3)
        return kafka_version(kafka_jars(_quiet))

    def settle(self, place: Place) -> None:
        """Nothing: topics belong to the jobs."""

    def address(self, place: Place) -> dict[str, Any]:
        """Bootstrap address and how to log in."""
        return {
            "bootstrap": f"{LOOPBACK}:{place.ports['kafka']}",
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": MECHANISM,
            "username": USER,
            "password_file": str(_password_file(place)),
        }


_LOGGING = (
    "defaultLogLevel=warn",
    "log.kafka.server=info",
    "showDateTime=true",
    "dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


def _quiet(_: str) -> None:
    pass


def _properties(place: Place) -> Path:
    return place.folder / "server.properties"


def _password_file(place: Place) -> Path:
    return place.secrets / "kafka"


def _settings(place: Place) -> str:
    return _PROPERTIES.format(
        host=LOOPBACK,
        port=place.ports["kafka"],
        controller=place.ports["kafka_controller"],
        scram=f"{_LOGIN}scram.ScramLoginModule required",
        plain=f"{_LOGIN}plain.PlainLoginModule required",
        user=USER,
        password=password(_password_file(place)),
        controller_password=password(place.secrets / "kafka_controller"),
        data=place.folder / "data",
        max_bytes=MAX_MESSAGE_BYTES,
    )


def _format(jars: Path, place: Place) -> None:
    """Format the storage, with the user in it.

    The tool takes the password as an argument; Java reads all arguments from a file, which keeps
    it out of the list of processes.
    """
    scram = f"{MECHANISM}=[name={USER},password={password(_password_file(place))}]"
    arguments = [
        *("-cp", f"{jars}/*", "kafka.tools.StorageTool"),
        *("format", "-t", _cluster_id(), "-c", str(_properties(place))),
        *("--standalone", "--add-scram", scram),
    ]
    file = place.folder / "format.args"
    write_private(file, "\n".join(f'"{word}"' for word in arguments) + "\n")
    try:
        run([java(), f"@{file}"], "can't format Kafka's storage", cwd=place.folder)
    finally:
        file.unlink()


def _cluster_id() -> str:
    """A random id in Kafka's form: 16 bytes, base64 for URLs, not starting with a dash."""
    return base64.urlsafe_b64encode(bytes([0x44]) + os.urandom(15)).decode().rstrip("=")
