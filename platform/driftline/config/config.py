"""`driftline.yaml` as typed settings.

The file holds no secrets: it names the environment variable or the file that holds a password. A
service set to `local` is the one that `driftline up` runs; its address is read from the state
folder when it is needed.
"""

import json
import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails

from driftline import names
from driftline.config import bounded_yaml
from driftline.config.bounded_yaml import YamlError
from driftline.config.grafana import Grafana
from driftline.config.masking import has_login, is_secret_setting, masked, masked_key
from driftline.config.monitors import Monitors, Notify, Runner
from driftline.config.types import (
    BAD_REFERENCE,
    LOGIN_KEY,
    SECRET_KEY,
    Duration,
    Identifier,
    Instant,
    Key,
    Located,
    ModelName,
    PathPart,
    Secret,
    Settings,
    Share,
    Topic,
    Wait,
    WebLink,
    checked_address,
    days_of_two_digits,
    located_uri,
    written,
)
from driftline.errors import ConfigError, ServiceError
from driftline.private_files import private_folder

LOCAL = "local"

FieldType = Literal["int", "float", "string", "bool"]
EventFieldType = Literal["int", "float", "string", "bool", "tensor"]
_LARGEST_TENSOR = 1_000_000  # numbers; a Kafka message holds no more


class Login(Settings):
    """One account of a service."""

    user: str
    password: Secret | None = None


class Kafka(Settings):
    """The broker, and how clients authenticate."""

    bootstrap: str = Field(LOCAL, description="host:port,host:port, or local")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-256"
    username: str | None = None
    password: Secret | None = None
    ca_file: Located | None = Field(None, description="PEM file of trusted certificate authorities")
    certificate_file: Located | None = Field(None, description="PEM client certificate")
    key_file: Located | None = Field(None, description="PEM key of the client certificate")
    key_password: Secret | None = None


class PostgresRoles(Settings):
    """Least privilege: only `driftline migrate` changes the schema, only the job writes."""

    migrate: Login = Login(user="driftline_migrate")
    write: Login = Login(user="driftline_write")
    read: Login = Login(user="driftline_read")


RoleName = Literal["migrate", "write", "read"]


class Postgres(Settings):
    """TimescaleDB: address, TLS and accounts."""

    host: str = Field(LOCAL, description="host name, or local")
    port: int = Field(5432, ge=1, le=65535)
    database: str = "driftline"
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    sslrootcert: Located | None = None
    sslcert: Located | None = None
    sslkey: Located | None = None
    roles: PostgresRoles = PostgresRoles()


class Storage(Settings):
    """Retention of old rows; profiles and the ledger are always kept."""

    compress_after: Duration | None = Field(
        timedelta(days=30),
        description="age from which rows are compressed; needs TimescaleDB's community edition",
    )
    keep_rows: Duration | None = Field(
        None, description="age at which predictions, labels and rejects are deleted; default: never"
    )
    keep_verdicts: Wait = Field(
        timedelta(days=90),
        description="retention for windows shorter than a day; alarms and whole days are kept",
    )


class Mlflow(Settings):
    """The tracking and registry server."""

    tracking_uri: str = Field(LOCAL, description="http(s)://host:port, or local")
    username: str | None = None
    password: Secret | None = None
    token: Secret | None = Field(None, description="bearer token, instead of a password")
    ca_file: Located | None = None


class Flink(Settings):
    """How the job runs."""

    parallelism: int = Field(1, ge=1, le=1024)
    checkpoint_interval: Wait = timedelta(seconds=10)
    checkpoint_dir: Annotated[str, AfterValidator(located_uri)] | None = Field(
        None, description="folder or URI; default: in the state folder"
    )
    memory: str = Field("1g", pattern=r"^\d+[mg]$", description="heap of the local JVM")
    environment: tuple[str, ...] = Field(
        (),
        description="environment variables to pass to the local JVM; its logs may show them",
    )
    properties: dict[str, str | Secret] = Field(
        default_factory=dict, description="any Flink setting, passed through unchanged"
    )

    @model_validator(mode="after")
    def _secrets_are_referenced(self) -> Self:
        for name, value in self.properties.items():
            if is_secret_setting(name) and isinstance(value, str):
                raise ValueError(
                    f"property {name!r} is a secret: give {{env: NAME}} or {{file: PATH}}"
                )
        return self

    def read_properties(self) -> dict[str, str]:
        """The properties with their secrets.

        Raises:
            ConfigError: a secret cannot be read.
        """
        return {
            name: value.read(lines=True) if isinstance(value, Secret) else value
            for name, value in self.properties.items()
        }


class EventField(Settings):
    """One field of an event, under the name of its column.

    `fields: {user_age: int}` is short for `fields: {user_age: {type: int, key: user_age}}`.
    """

    type: EventFieldType
    key: Key | None = Field(None, description="key in the event; default: the field's name")
    shape: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        None, description="shape of a tensor, such as [28, 28]: nested lists in the event"
    )

    @model_validator(mode="after")
    def _shape_of_tensors(self) -> Self:
        if (self.type == "tensor") != bool(self.shape):
            raise ValueError("a field of type tensor needs a shape; other types take none")
        if math.prod(self.shape or ()) > _LARGEST_TENSOR:
            raise ValueError(f"a tensor must not have more than {_LARGEST_TENSOR:,} numbers")
        return self


def _long_field(field: object) -> object:
    return {"type": field} if isinstance(field, str) else field


ShortField = Annotated[
    EventField, BeforeValidator(_long_field, json_schema_input_type=EventFieldType | EventField)
]


class AcceptedTime(Settings):
    """The event times that are accepted: relative to Kafka's timestamp, or a fixed range."""

    past: Duration = timedelta(days=7)
    future: Duration = timedelta(minutes=5)
    since: Instant | None = Field(None, description="start of a fixed range, for replays")
    until: Instant | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.since is None) != (self.until is None):
            raise ValueError("since and until must be given together")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("since must be earlier than until")
        return self


class Input(Settings):
    """The topic of the events, and their format."""

    topic: Topic
    decoder: Literal["json"] = "json"
    event_id: Key = Field(description="field with the event's ID, a string or integer")
    event_time: Key = Field(description="field with the time of the event")
    time_format: Literal["iso8601", "epoch_s", "epoch_ms", "epoch_us"] = "iso8601"
    fields: dict[Identifier, ShortField] = Field(min_length=1)
    required: tuple[str, ...] = Field((), description="fields that must not be missing")
    accept: AcceptedTime = AcceptedTime()

    @model_validator(mode="after")
    def _each_key_once(self) -> Self:
        keys = [field.key or name for name, field in self.fields.items()]
        _refuse_repeated([self.event_id, self.event_time, *keys])
        return self

    @model_validator(mode="after")
    def _required_are_fields(self) -> Self:
        for name in self.required:
            if name not in self.fields:
                raise ValueError(f"required field {name!r} is not in fields")
        return self


def _refuse_repeated(keys: list[str]) -> None:
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"key {key!r} of the event is used twice: use each key once")


class Query(Settings):
    """A Flink SQL query over the view `events` that adds columns, with event-time windows."""

    query: str = Field(description="SELECT *, <expression> AS <column>, ... FROM events ...")
    columns: dict[Identifier, FieldType] = Field(
        min_length=1, description="columns that the query adds"
    )
    out_of_order: Annotated[Duration, AfterValidator(days_of_two_digits)] = Field(
        timedelta(minutes=1), description="how far events may be out of order"
    )
    idle_timeout: Duration = Field(
        timedelta(minutes=1), description="how long an idle partition may hold back windows"
    )


class Features(Settings):
    """How events become model inputs: SQL first, then the transform; both are optional."""

    sql: Query | None = None
    transform: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="module:function, RecordBatch -> RecordBatch",
    )


class TensorFlowServing(Settings):
    """A model server with TensorFlow Serving's REST protocol."""

    url: Annotated[str, AfterValidator(checked_address)] = Field(
        pattern=r"^https?://[^/@\s?#]+[^@\s?#]*$", description="http(s)://host:port"
    )
    name: PathPart | None = Field(
        None, description="the model's name on the server; default: the registered name"
    )
    version: str = Field(
        "registry",
        pattern=r"^(registry|latest|[0-9]+|label:[A-Za-z0-9_-][A-Za-z0-9._-]*)$",
        description="registry (the registered version's number), latest, a number or label:NAME",
    )
    format: Literal["row", "columns"] = "columns"
    missing: Literal["nan", "null"] = Field("nan", description="encoding of missing numbers")
    timeout: Wait = timedelta(seconds=10)
    retry_for: Wait = Field(
        timedelta(minutes=5), description="how long it may be unavailable before the job restarts"
    )
    batch_rows: int = Field(1_000, ge=1, le=1_000_000, description="maximum rows per request")
    connections: int = Field(4, ge=1, le=64, description="maximum concurrent requests")
    headers: dict[str, str | Secret] = Field(default_factory=dict)
    ca_file: Located | None = Field(None, description="PEM file of trusted certificate authorities")
    certificate_file: Located | None = Field(None, description="PEM client certificate")
    key_file: Located | None = Field(None, description="PEM key of the client certificate")

    @model_validator(mode="after")
    def _logins_are_secrets(self) -> Self:
        for name, value in self.headers.items():
            if LOGIN_KEY.search(name) and isinstance(value, str):
                raise ValueError(
                    f"header {name!r} is a secret: give {{env: NAME}} or {{file: PATH}}"
                )
        return self


class Score(Settings):
    """The number of a model's outputs that is monitored as its score."""

    output: Key | None = Field(
        None, description="output to use; default: the one named score, else the first numeric one"
    )
    index: int | None = Field(
        None, ge=0, description="index into an output with several numbers per row, from 0"
    )


class Registry(Settings):
    """The registered model that the job follows."""

    name: PathPart
    alias: str = Field(names.CHAMPION, pattern=r"^[A-Za-z0-9_-]{1,255}$")
    poll_interval: Wait = Field(
        timedelta(seconds=2), description="how often the job reads the aliases of versions"
    )
    preflight_timeout: Wait = Field(
        timedelta(minutes=1),
        description="time limit for a new version to load and predict; longer, and it is refused",
    )
    batch_timeout: Wait = Field(
        timedelta(minutes=1),
        description="time limit for the features of a batch, and for its prediction in process; "
        "a worker that exceeds it is terminated",
    )
    max_slowdown: float | None = Field(
        5.0,
        gt=1,
        allow_inf_nan=False,
        description="quarantine a version that takes this many times as long as the champion for "
        "the same events, in several batches in a row; null: never",
    )
    score: Score = Score()
    serving: TensorFlowServing | None = Field(
        None, description="model server; default: the model runs in the job's own process"
    )


class Output(Settings):
    """The topic that predictions are published to."""

    topic: Topic
    delivery: Literal["at_least_once", "exactly_once"] = "exactly_once"


class Labels(Settings):
    """The topic of delayed labels (ground truth)."""

    topic: Topic
    event_id: Key = "event_id"
    label: Key = Field("label", description="field with the label")
    type: Literal["float", "int", "bool"] = Field("float", description="type of the label")
    time: Key = Field("time", description="field with the time at which the label became known")
    time_format: Literal["iso8601", "epoch_s", "epoch_ms", "epoch_us"] = "iso8601"
    accept: AcceptedTime = AcceptedTime()

    @model_validator(mode="after")
    def _each_key_once(self) -> Self:
        _refuse_repeated([self.event_id, self.label, self.time])
        return self


class Stream(Settings):
    """Batch size versus latency; explicit values override the preset."""

    latency: Literal["low", "balanced", "throughput"] = "balanced"
    batch_rows: int | None = Field(None, ge=1, le=1_000_000)
    batch_time: Wait | None = None

    @property
    def rows(self) -> int:
        """Maximum messages per batch."""
        return (
            self.batch_rows
            or {"low": 1_000, "balanced": 10_000, "throughput": 20_000}[self.latency]
        )

    @property
    def time(self) -> timedelta:
        """How long a batch may wait for more messages."""
        preset = {"low": 10, "balanced": 50, "throughput": 1_000}[self.latency]
        return self.batch_time or timedelta(milliseconds=preset)


Metric = Literal["log_loss", "brier", "auc", "mae", "rmse"]
_Events = Annotated[int, Field(ge=1, le=100_000)]
_Margin = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class OfflineGate(Settings):
    """Scores both versions on the same file when a promotion is requested."""

    data: Located = Field(description="Parquet file with the features and the label")
    label: str = Field(min_length=1, description="column with the label, a number or bool")
    metric: Metric
    margin: _Margin = Field(0.0, description="how much worse than the champion it may be")


class AgreementGate(Settings):
    """How often both versions give similar scores to the same live event."""

    min_events: _Events = 1_000
    tolerance: _Margin = Field(0.1, description="scores agree if they differ by at most this")
    min_share: Share = Field(0.95, description="share of events whose scores must agree")


class ScoresGate(Settings):
    """How far apart the distributions of scores are on the same live events."""

    min_events: _Events = 1_000
    max_distance: Share = Field(
        0.1, description="Kolmogorov-Smirnov distance of the two distributions"
    )


class LatencyGate(Settings):
    """How long a prediction takes."""

    min_events: _Events = 1_000
    max_ratio: float = Field(
        1.5,
        gt=0,
        allow_inf_nan=False,
        description="largest accepted ratio of its p99 to the champion's",
    )


class CalibrationGate(Settings):
    """Whether 30 % of the events with a score of 0.3 are positive."""

    min_events: _Events = 1_000
    margin: _Margin = Field(0.01, description="how much worse than the champion it may be")


class PerformanceGate(Settings):
    """A metric on the labels of live events."""

    metric: Metric
    min_events: _Events = 1_000
    margin: _Margin = Field(0.0, description="how much worse than the champion it may be")


class Gates(Settings):
    """Checks that a version must pass before promotion; gates not given are skipped."""

    mode: Literal["record", "enforce"] = Field(
        "record", description="how the job treats an alias that was moved outside driftline"
    )
    evidence_window: Wait = Field(timedelta(days=7), description="maximum age of live evidence")
    offline: OfflineGate | None = None
    agreement: AgreementGate | None = None
    scores: ScoresGate | None = None
    latency: LatencyGate | None = None
    calibration: CalibrationGate | None = None
    performance: PerformanceGate | None = None


class Model(Settings):
    """One monitored model: its events, features, registered versions and monitors."""

    input: Input
    features: Features = Features()
    registry: Registry
    output: Output | None = None
    labels: Labels | None = None
    segments: tuple[Identifier, ...] = Field((), description="feature columns to split profiles by")
    profiles: bool = Field(
        True, description="profile logged predictions; if false, nothing is monitored"
    )
    stream: Stream = Stream()
    gates: Gates = Gates()
    monitors: Monitors = Monitors()
    team: ModelName = Field("driftline", description="owner; also a folder in Grafana")
    runbook: WebLink | None = Field(None, description="URL of instructions for its alerts")
    dashboard: Literal["shared", "own"] = Field(
        "shared", description="own: an additional dashboard with panels on the model's own rows"
    )

    @property
    def metric(self) -> Metric | None:
        """The metric of its performance: the performance gate's, else AUC for bool labels or the
        mean absolute error for others; None without labels."""
        if self.labels is None:
            return None
        if self.gates.performance is not None:
            return self.gates.performance.metric
        return "auc" if self.labels.type == "bool" else "mae"

    @model_validator(mode="after")
    def _labels_for_their_gates(self) -> Self:
        for name in ("calibration", "performance"):
            if self.labels is None and getattr(self.gates, name) is not None:
                raise ValueError(f"gate {name!r} requires labels: add the section labels")
        return self

    @model_validator(mode="after")
    def _no_reserved_names(self) -> Self:
        added = self.features.sql.columns if self.features.sql else {}
        # of the view that a query reads
        reserved = (*names.SYSTEM_COLUMNS, names.KAFKA_PARTITION) if added else names.SYSTEM_COLUMNS
        for name in (*self.input.fields, *added):
            if name in reserved:
                raise ValueError(f"field name {name!r} is reserved: rename the field")
        for name in added:
            if name in self.input.fields:
                raise ValueError(f"sql column {name!r} is already a field: rename the column")
        return self


class Config(Settings):
    """All of `driftline.yaml`."""

    state: Located = Field(Path(".driftline"), validate_default=True)
    kafka: Kafka = Kafka()
    postgres: Postgres = Postgres()
    storage: Storage = Storage()
    mlflow: Mlflow = Mlflow()
    flink: Flink = Flink()
    notify: Notify = Notify()
    runner: Runner = Runner()
    grafana: Grafana = Grafana()
    models: dict[ModelName, Model] = Field(default_factory=dict)

    def model(self, name: str) -> Model:
        """The section of one model.

        Raises:
            ConfigError: there is no such model.
        """
        try:
            return self.models[name]
        except KeyError:
            existing = ", ".join(self.models) or "none"
            raise ConfigError(f"no model {name!r} in the config (models: {existing})") from None

    def folder(self, *parts: str) -> Path:
        """A folder below `state`, made where it is missing; nobody else can enter `state`.

        Raises:
            ServiceError: it belongs to somebody else, or cannot be made.
        """
        private_folder(self.state)
        return private_folder(self.state.joinpath(*parts))

    def local_kafka(self) -> Kafka:
        """The broker's settings, with the local stack's address filled in for `local`."""
        if self.kafka.bootstrap != LOCAL:
            return self.kafka
        return Kafka.model_validate(_with_file_secrets(self._stack("kafka")))

    def local_postgres(self) -> Postgres:
        """The database's settings, with the local stack's address filled in for `local`."""
        if self.postgres.host != LOCAL:
            return self.postgres
        section = self._stack("postgres")
        roles = {name: _with_file_secrets(role) for name, role in section["roles"].items()}
        return Postgres.model_validate({**section, "roles": roles, "sslmode": "disable"})

    def local_mlflow(self) -> Mlflow:
        """The registry's settings, with the local stack's address filled in for `local`."""
        if self.mlflow.tracking_uri != LOCAL:
            return self.mlflow
        return Mlflow.model_validate(_with_file_secrets(self._stack("mlflow")))

    def local_services(self) -> list[str]:
        """The services that `driftline up` starts: those set to `local`."""
        places = {
            "timescaledb": self.postgres.host,
            "kafka": self.kafka.bootstrap,
            "mlflow": self.mlflow.tracking_uri,
        }
        return [name for name, place in places.items() if place == LOCAL]

    def _stack(self, service: str) -> dict[str, Any]:
        path = self.state / "stack.json"
        try:
            section: dict[str, Any] = json.loads(path.read_text())[service]
        except (FileNotFoundError, KeyError):
            raise ServiceError(
                f"service {service!r} is 'local' but was never started in {str(self.state)!r}: "
                "run 'driftline up', or give its address in driftline.yaml"
            ) from None
        return section


def _with_file_secrets(section: dict[str, Any]) -> dict[str, Any]:
    """`password_file: PATH` of the stack's own file as the config spells it."""
    converted = {key: value for key, value in section.items() if key != "password_file"}
    if "password_file" in section:
        converted["password"] = {"file": section["password_file"]}
    return converted


def load(path: Path) -> Config:
    """Read and check `driftline.yaml`.

    Relative paths in it are taken from the file's own folder.

    Raises:
        ConfigError: with one line per problem: file, line, key, value and what is allowed.
    """
    text = _read(path)
    try:
        tree, data = bounded_yaml.parse(text)
    except YamlError as error:
        raise ConfigError(f"{path}:{error.line}: {error}") from None
    if problems := [*_bad_keys(tree), *_logins(tree)]:
        raise ConfigError("\n".join(f"{path}:{line}: {problem}" for line, problem in problems))
    try:
        context = {"folder": path.absolute().parent}
        return Config.model_validate({} if data is None else data, context=context)
    except ValidationError as error:
        raise ConfigError(_explain(path, tree, error)) from None


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(bounded_yaml.LARGEST + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"no config file {str(path)!r}: create one with 'driftline init'"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read {str(path)!r}: {error}") from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `driftline.yaml`, for editors."""
    schema = Config.model_json_schema(schema_generator=_DurationsAsWritten)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


class _DurationsAsWritten(GenerateJsonSchema):
    """Defaults as the file spells them: `10 s`, not pydantic's `PT10S`."""

    def encode_default(self, dft: Any) -> Any:
        """See pydantic."""
        return written(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def _bad_keys(tree: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Line and problem of duplicate keys, of which YAML would keep the last."""
    for _, node in _nodes(tree):
        keys = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                yield line, "a key must be text"
            elif key.value in keys:
                yield line, f"{masked_key(key.value)}: duplicate key"
            else:
                keys.add(key.value)


def _logins(tree: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Line and problem of texts that contain credentials, in any key or value."""
    for keys, node in _nodes(tree):
        if isinstance(node, yaml.ScalarNode) and has_login(node.value):
            where = ".".join(map(masked_key, keys)) or "the file"
            yield (
                node.start_mark.line + 1,
                f"{where} = {masked(node.value)}: credentials are not allowed in this file: "
                "use the section's keys for credentials, or {env: NAME} or {file: PATH}",
            )


def _nodes(
    node: yaml.Node | None, keys: tuple[str, ...] = (), visited: set[int] | None = None
) -> Iterator[tuple[tuple[str, ...], yaml.Node]]:
    """Every node with its keys, keys themselves among them; nodes shared by aliases come once."""
    visited = set() if visited is None else visited
    if node is None or id(node) in visited:
        return
    visited.add(id(node))
    yield keys, node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _nodes(key, keys, visited)
            yield from _nodes(value, (*keys, str(key.value)), visited)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _nodes(item, (*keys, str(index)), visited)


def _explain(path: Path, tree: yaml.Node | None, error: ValidationError) -> str:
    lines = []
    texts = {node.value for _, node in _nodes(tree) if isinstance(node, yaml.ScalarNode)}
    hidden = {repr(text): masked(text) for text in texts if masked(text) != repr(text)}
    for problem in error.errors(include_url=False):
        keys = [str(part) for part in problem["loc"] if part != "[key]" and not _is_tag(part)]
        where = ".".join(map(masked_key, keys)) or "the file"
        message = problem["msg"].removeprefix("Value error, ")
        for text, shorter in hidden.items():  # validators repeat values too
            message = message.replace(text, shorter)
        shown = f" = {masked(problem['input'])}" if _may_be_shown(problem, keys) else ""
        lines.append(f"{path}:{_line(tree, keys)}: {where}{shown}: {message}")
    return "\n".join(lines)


def _is_tag(part: str | int) -> bool:
    """Whether pydantic means a validator, as where a key takes a text or a secret."""
    return isinstance(part, str) and part.startswith("function-")


def _may_be_shown(problem: ErrorDetails, keys: list[str]) -> bool:
    """False for values at or below the key of a secret, and at an unknown key."""
    unknown = problem["type"] in {"extra_forbidden", BAD_REFERENCE}
    whole = isinstance(problem["input"], dict | list)
    return not unknown and not whole and not any(map(SECRET_KEY.search, keys))


def _line(node: yaml.Node | None, keys: list[str]) -> int:
    """The line (from 1) of the deepest of the keys that the file has."""
    line = 1 if node is None else node.start_mark.line + 1
    for key in keys:
        child = _child(node, key)
        if child is None:
            break
        line, node = child
    return line


def _child(node: yaml.Node | None, key: str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                return name.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
        item = node.value[int(key)]
        return item.start_mark.line + 1, item
    return None
