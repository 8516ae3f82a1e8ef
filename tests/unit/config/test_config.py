import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from driftline.config import (
    AcceptedTime,
    Config,
    Input,
    Kafka,
    Mlflow,
    Model,
    Output,
    Registry,
    Stream,
    json_schema,
    load,
)
from driftline.config.grafana import DataSource, Grafana
from driftline.config.monitors import Evidently
from driftline.config.template import TEMPLATE
from driftline.config.types import Secret, parse_duration
from driftline.errors import ConfigError, ServiceError
from driftline.streaming.flink.check import check_model

MODEL = """\
models:
  fraud:
    input:
      topic: payments
      event_id: id
      event_time: time
      fields:
        amount: float
        country: {type: string, key: Country}
    registry: {name: fraud}
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes a config and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "driftline.yaml"
        path.write_text(text)
        return path

    return write


def problems(path: Path) -> list[str]:
    """The lines of the error, without the path of the file."""
    with pytest.raises(ConfigError) as error:
        load(path)
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


def changed(old: str, new: str) -> str:
    assert MODEL.count(old) == 1
    return MODEL.replace(old, new)


def test_the_template_can_be_used(write: Any) -> None:
    path = write(TEMPLATE)
    config = load(path)
    assert config.state == path.parent / ".driftline"
    assert list(config.models) == ["payments"]
    check_model(config, "payments")
    data = json.loads(json.dumps(yaml.safe_load(TEMPLATE), default=str))
    jsonschema.Draft202012Validator(json_schema()).validate(data)


def test_what_the_template_comments_out_can_be_used_too(write: Any) -> None:
    lines = re.sub("^( +)# ", r"\1", TEMPLATE, flags=re.MULTILINE).splitlines()
    text = "\n".join(line for line in lines if "mypackage" not in line)
    config = load(write(text))
    assert config.kafka.security_protocol == "SASL_SSL"
    assert config.kafka.ca_file is not None
    assert config.postgres.roles.write.password == Secret(env="PG_WRITE_PASSWORD")
    assert config.flink.properties == {"taskmanager.memory.network.max": "256m"}
    model = config.model("payments")
    assert model.features.sql is not None
    assert model.labels is not None
    check_model(config, "payments")


def test_an_empty_file_is_all_defaults(write: Any) -> None:
    config = load(write(""))
    assert config == Config(state=config.state)


def test_short_and_long_fields(write: Any) -> None:
    fields = load(write(MODEL)).model("fraud").input.fields
    assert {name: (field.type, field.key) for name, field in fields.items()} == {
        "amount": ("float", None),
        "country": ("string", "Country"),
    }


def test_every_problem_names_line_key_and_value(write: Any) -> None:
    text = (
        "postgres:\n"
        "  port: 70000\n"
        "  sslmode: maybe\n"
        "  hosts: db\n"
        "flink:\n"
        "  parallelism: many\n"
        "  checkpoint_interval: 10\n"
        "  memory: 1 GB\n"
    )
    assert problems(write(text)) == [
        "2: postgres.port = 70000: Input should be less than or equal to 65535",
        "3: postgres.sslmode = 'maybe': Input should be 'disable', 'allow', 'prefer', 'require', "
        "'verify-ca' or 'verify-full'",
        "4: postgres.hosts: Extra inputs are not permitted",
        "6: flink.parallelism = 'many': Input should be a valid integer, unable to parse string as "
        "an integer",
        "7: flink.checkpoint_interval = 10: must be a number and a unit (ms, s, min, h or d), "
        "such as '10 s'",
        r"8: flink.memory = '1 GB': String should match pattern '^\d+[mg]$'",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            changed("amount: float", "amount: decimal"),
            "8: models.fraud.input.fields.amount.type = 'decimal': Input should be 'int', 'float', "
            "'string', 'bool' or 'tensor'",
        ),
        (
            changed("amount: float", "Amount: float"),
            "8: models.fraud.input.fields.Amount = 'Amount': must be lower-case letters, digits "
            "and _, starting with a letter, at most 59 characters",
        ),
        (
            changed("amount: float", "score: float"),
            "2: models.fraud: field name 'score' is reserved: rename the field",
        ),
        (
            changed("amount: float", "event_id: string"),
            "2: models.fraud: field name 'event_id' is reserved: rename the field",
        ),
        (
            changed("amount: float", "time: string"),
            "3: models.fraud.input: key 'time' of the event is used twice: use each key once",
        ),
        (
            changed("amount: float", "Country: float"),
            "8: models.fraud.input.fields.Country = 'Country': must be lower-case letters, digits "
            "and _, starting with a letter, at most 59 characters",
        ),
        (
            changed("key: Country", "key: amount"),
            "3: models.fraud.input: key 'amount' of the event is used twice: use each key once",
        ),
        (
            changed("key: Country", 'key: "a\'b"'),
            '9: models.fraud.input.fields.country.key = "a\'b": must not contain quotes, '
            "backslashes or control characters",
        ),
        (
            changed("event_id: id", "event_id: time"),
            "3: models.fraud.input: key 'time' of the event is used twice: use each key once",
        ),
        (
            changed("topic: payments", "topic: pay ments"),
            "4: models.fraud.input.topic = 'pay ments': String should match pattern "
            "'^[A-Za-z0-9._-]{1,249}$'",
        ),
        (
            changed("      topic: payments\n", ""),
            "3: models.fraud.input.topic: Field required",
        ),
        (
            changed("  fraud:", "  Fraud_1:"),
            "2: models.Fraud_1 = 'Fraud_1': String should match pattern '^[a-z][a-z0-9-]{0,39}$'",
        ),
        (
            MODEL + "    segments: [Country]\n",
            "11: models.fraud.segments.0 = 'Country': must be lower-case letters, digits and _, "
            "starting with a letter, at most 59 characters",
        ),
        (
            MODEL + "    stream: {batch_time: 0 s}\n",
            "11: models.fraud.stream.batch_time = '0 s': must be greater than 0 s",
        ),
        (
            MODEL + "    labels: {topic: t, label: time}\n",
            "11: models.fraud.labels: key 'time' of the event is used twice: use each key once",
        ),
        (
            MODEL + "    features: {transform: a.b.c}\n",
            "11: models.fraud.features.transform = 'a.b.c': String should match pattern "
            r"'^[A-Za-z_][\w.]*:[A-Za-z_]\w*$'",
        ),
        (
            MODEL + "    features: {sql: {query: Q, columns: {x: int}, out_of_order: 100 d}}\n",
            "11: models.fraud.features.sql.out_of_order = '100 d': must be less than 100 d",
        ),
        (
            MODEL + "    features: {sql: {query: SELECT, columns: {amount: int}}}\n",
            "2: models.fraud: sql column 'amount' is already a field: rename the column",
        ),
        (
            MODEL + "    features: {sql: {query: SELECT, columns: {lag_ms: int}}}\n",
            "2: models.fraud: field name 'lag_ms' is reserved: rename the field",
        ),
        (
            changed("      fields:", "      required: [total]\n      fields:"),
            "3: models.fraud.input: required field 'total' is not in fields",
        ),
        (
            changed("      fields:", "      accept: {since: 2013-01-01}\n      fields:"),
            "7: models.fraud.input.accept: since and until must be given together",
        ),
        (
            changed(
                "      fields:",
                "      accept: {since: 2013-01-01, until: 2012-01-01}\n      fields:",
            ),
            "7: models.fraud.input.accept: since must be earlier than until",
        ),
        (
            changed("      fields:", "      accept: {past: 9999999999999 d}\n      fields:"),
            "7: models.fraud.input.accept.past = '9999999999999 d': must not exceed 700000 d",
        ),
        (
            "storage: {keep_rows: forever}\n",
            "1: storage.keep_rows = 'forever': must be a number and a",
        ),
        ("models: [fraud]\n", "1: models: Input should be a valid dictionary"),
        ("- 1\n", "1: the file: Input should be a valid dictionary or instance of Config"),
        ("kafka: {}\nmodel: {}\n", "2: model: Extra inputs are not permitted"),
        ("kafka: {}\nflink: {}\nkafka: {}\n", "3: kafka: duplicate key"),
        (MODEL + MODEL.split("\n", 1)[1], "11: fraud: duplicate key"),
        ("a: [b\n", "2: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: \t- b\n", "1: not YAML: found character '\\t' that cannot start any token"),
        ("a: \x07\n", "1: not YAML: unreadable"),
    ],
)
def test_one_problem(write: Any, text: str, expected: str) -> None:
    [problem] = problems(write(text))
    assert problem[: len(expected)] == expected


@pytest.mark.parametrize(
    "name",
    [
        "../../../x",
        "..",
        ".",
        " . ",
        "a/b",
        "a\\b",
        "C:x",
        "a'b",
        'a"b',
        "a\0b",
        "a\nb",
        "",
        "x" * 201,
        "ü" * 101,
    ],
)
def test_names_that_are_no_part_of_a_path(name: str) -> None:
    serving = {"url": "http://host:1", "name": name}
    for section in ({"name": name}, {"name": "m", "serving": serving}):
        with pytest.raises(ValidationError, match="must be a valid file name of at most 200 bytes"):
            Registry.model_validate(section)


@pytest.mark.parametrize("name", ["fraud", "Fraud model 2.0", "x" * 200, "..a", "modèle", "a%2e"])
def test_names_of_registered_models(name: str) -> None:
    assert Registry(name=name).name == name


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ({"topic": ".."}, Output),
        ({"name": "m", "alias": "../x"}, Registry),
        ({"name": "m", "serving": {"url": "http://h", "version": "label:.."}}, Registry),
        ({"name": "os.path"}, Evidently),
        ({"folder": "a\nb"}, Grafana),
        ({"state": "a\0b"}, Config),
        ({"uid": "../x"}, DataSource),
        ({"preview_url": "http://["}, Grafana),
        ({"preview_url": "http://host:99999"}, Grafana),
        ({"preview_url": "http://:80"}, Grafana),
        ({"name": "m", "serving": {"url": "http://[::1"}}, Registry),
        ({"models": {"../x": {}}}, Config),
    ],
)
def test_what_becomes_part_of_another_name(section: dict[str, Any], kind: type[Any]) -> None:
    with pytest.raises(ValidationError) as error:
        kind.model_validate(section)
    assert error.value.errors()[0]["type"] in {"string_pattern_mismatch", "value_error"}


@pytest.mark.parametrize(
    "text",
    [
        "kafka:\n  password: hunter2\n",
        "kafka:\n  password: {value: hunter2}\n",
        "kafka:\n  passwort: hunter2\n",
        "kafka:\n  sasl_password: hunter2\n",
        "kafka:\n  key_password: [hunter2]\n",
        "mlflow:\n  token: hunter2\n",
        "mlflow:\n  secret_key: hunter2\n",
        "flink:\n  properties: {sasl.jaas.config: [hunter2]}\n",
        "postgres:\n  roles: {write: {user: x, password: hunter2}}\n",
        "kafka:\n  password: hunter2: x\n",
        "kafka:\n  password: 'hunter2\n",
        "kafka:\n  password: {env: A, file: hunter2}\n",
    ],
)
def test_no_secret_in_errors(write: Any, text: str) -> None:
    found = problems(write(text))
    assert found
    assert "hunter2" not in "".join(found)


def test_no_config(tmp_path: Path) -> None:
    path = tmp_path / "driftline.yaml"
    with pytest.raises(ConfigError) as error:
        load(path)
    assert str(error.value) == f"no config file {str(path)!r}: create one with 'driftline init'"


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path)
    assert str(error.value).startswith(f"can't read {str(tmp_path)!r}: [Errno 21] Is a directory")
    path = tmp_path / "driftline.yaml"
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match="codec can't decode byte 0xff"):
        load(path)


def test_an_unknown_model() -> None:
    with pytest.raises(ConfigError, match=r"^no model 'fraud' in the config \(models: none\)$"):
        Config().model("fraud")


def test_relative_paths_are_taken_from_the_folder_of_the_file(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "state: ../state\n"
        "kafka: {ca_file: certs/ca.pem, password: {file: secrets/kafka}}\n"
        "postgres: {sslrootcert: /etc/ca.pem, sslcert: pg.pem, sslkey: pg.key}\n"
        "mlflow: {ca_file: ml.pem, token: {file: token}}\n"
        "flink: {checkpoint_dir: ./checkpoints}\n"
    )
    config = load(write(text))
    assert config.state == tmp_path.parent / "state"
    assert config.kafka.ca_file == tmp_path / "certs/ca.pem"
    assert config.kafka.password == Secret(file=tmp_path / "secrets/kafka")
    assert config.postgres.sslrootcert == Path("/etc/ca.pem")
    assert config.postgres.sslcert == tmp_path / "pg.pem"
    assert config.postgres.sslkey == tmp_path / "pg.key"
    assert config.mlflow.ca_file == tmp_path / "ml.pem"
    assert config.mlflow.token == Secret(file=tmp_path / "token")
    assert config.flink.checkpoint_dir == str(tmp_path / "checkpoints")
    monkeypatch.chdir(tmp_path)
    assert load(Path("driftline.yaml")) == config


@pytest.mark.parametrize("uri", ["s3://bucket/x", "file:///data/x", "file:/data/x"])
def test_checkpoints_may_be_at_a_uri(write: Any, uri: str) -> None:
    assert load(write(f"flink: {{checkpoint_dir: '{uri}'}}\n")).flink.checkpoint_dir == uri


def test_secrets_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret(env="DRIFTLINE_TEST_SECRET")
    monkeypatch.setenv("DRIFTLINE_TEST_SECRET", " with spaces ")
    assert secret.read() == " with spaces "
    monkeypatch.delenv("DRIFTLINE_TEST_SECRET")
    with pytest.raises(ConfigError) as error:
        secret.read()
    assert str(error.value) == (
        "environment variable 'DRIFTLINE_TEST_SECRET' is not set: export it"
    )


def test_secrets_from_files(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hünter2\n")
    assert Secret(file=path).read() == "hünter2"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="can't read the secret in "):
        Secret(file=path).read()
    with pytest.raises(ConfigError) as error:
        Secret(file=tmp_path / "none").read()
    assert str(error.value).startswith(f"can't read the secret in '{tmp_path / 'none'}': [Errno 2]")


@pytest.mark.parametrize("section", [{}, {"env": "A", "file": "/b"}])
def test_a_secret_has_one_place(section: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="exactly one of env and file"):
        Secret.model_validate(section)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("250 ms", timedelta(milliseconds=250)),
        ("10s", timedelta(seconds=10)),
        (" 1.5  min ", timedelta(seconds=90)),
        ("2 h", timedelta(hours=2)),
        ("7 d", timedelta(days=7)),
        ("0 s", timedelta(0)),
        ("700000 d", timedelta(days=700_000)),
        (timedelta(seconds=3), timedelta(seconds=3)),
    ],
)
def test_durations(text: object, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "10", 10, "s", "-1 s", "1e3 s", "1 week", "1,5 s", None])
def test_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match=r"must be a number and a unit \(ms, s, min, h or d\)"):
        parse_duration(text)


@given(st.timedeltas(timedelta(0), timedelta(days=700_000)))
def test_durations_survive_being_written(duration: timedelta) -> None:
    accept = AcceptedTime(past=duration)
    found = AcceptedTime.model_validate(accept.model_dump()).past
    assert found == duration
    jsonschema.validate(accept.model_dump(mode="json"), AcceptedTime.model_json_schema())


def test_instants_are_utc() -> None:
    accept = AcceptedTime.model_validate({"since": "2013-01-01", "until": "2014-01-01T00:00+02:00"})
    assert accept.since == datetime(2013, 1, 1, tzinfo=UTC)
    assert accept.until == datetime(2013, 12, 31, 22, tzinfo=UTC)


def test_stream_presets_and_explicit_values() -> None:
    presets = {"low": (1_000, 10), "balanced": (10_000, 50), "throughput": (20_000, 1_000)}
    for latency, (rows, millis) in presets.items():
        stream = Stream.model_validate({"latency": latency})
        assert (stream.rows, stream.time) == (rows, timedelta(milliseconds=millis))
    explicit = Stream.model_validate({"latency": "low", "batch_rows": 7, "batch_time": "2 s"})
    assert (explicit.rows, explicit.time) == (7, timedelta(seconds=2))


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().kafka = Kafka()  # type: ignore[misc]


def test_the_schema_is_valid_and_knows_the_short_form() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    data: Any = yaml.safe_load(MODEL)
    validator.validate(data)
    assert [e.json_path for e in validator.iter_errors({"flinc": {}})] == ["$"]
    data["models"]["fraud"]["input"]["fields"]["amount"] = "decimal"
    assert not validator.is_valid(data)


def test_the_schema_s_defaults_are_valid_themselves() -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("default"), str) and "pattern" in node:
                assert re.search(node["pattern"], node["default"]), node
            for child in node.values():
                walk(child)

    walk(json_schema())
    assert json_schema()["$defs"]["Registry"]["properties"]["poll_interval"]["default"] == "2 s"


class TestLocal:
    """Addresses of the local stack."""

    STACK: ClassVar = {
        "kafka": {"bootstrap": "127.0.0.1:1", "security_protocol": "SASL_PLAINTEXT",
                  "username": "driftline", "password_file": "/secrets/kafka"},
        "postgres": {
            "host": "127.0.0.1", "port": 2, "database": "driftline",
            "roles": {role: {"user": f"driftline_{role}", "password_file": f"/secrets/{role}"}
                      for role in ("migrate", "write", "read")},
        },
        "mlflow": {"tracking_uri": "http://127.0.0.1:3"},
    }  # fmt: skip

    def test_they_come_from_the_state_folder(self, tmp_path: Path) -> None:
        (tmp_path / "stack.json").write_text(json.dumps(self.STACK))
        config = Config(state=tmp_path)
        assert config.local_kafka() == Kafka(
            bootstrap="127.0.0.1:1",
            security_protocol="SASL_PLAINTEXT",
            username="driftline",
            password=Secret(file=Path("/secrets/kafka")),
        )
        postgres = config.local_postgres()
        assert (postgres.host, postgres.port, postgres.sslmode) == ("127.0.0.1", 2, "disable")
        assert postgres.roles.write.password == Secret(file=Path("/secrets/write"))
        assert config.local_mlflow() == Mlflow(tracking_uri="http://127.0.0.1:3")

    def test_given_addresses_need_no_stack(self, tmp_path: Path) -> None:
        config = Config.model_validate(
            {
                "state": tmp_path / "none",
                "kafka": {"bootstrap": "a:1"},
                "postgres": {"host": "db"},
                "mlflow": {"tracking_uri": "https://m"},
            }
        )
        assert config.local_kafka() is config.kafka
        assert config.local_postgres() is config.postgres
        assert config.local_mlflow() is config.mlflow

    @pytest.mark.parametrize("service", ["kafka", "postgres", "mlflow"])
    @pytest.mark.parametrize("there", [None, {}])
    def test_a_stack_that_was_never_started(
        self, tmp_path: Path, service: str, there: dict[str, Any] | None
    ) -> None:
        if there is not None:
            (tmp_path / "stack.json").write_text(json.dumps(there))
        with pytest.raises(ServiceError) as error:
            getattr(Config(state=tmp_path), f"local_{service}")()
        assert str(error.value) == (
            f"service {service!r} is 'local' but was never started in {str(tmp_path)!r}: "
            "run 'driftline up', or give its address in driftline.yaml"
        )


def test_input_keys_may_be_any_text_without_quotes() -> None:
    section = {"topic": "t", "event_id": "Größe.id", "event_time": "@time [UTC]"}
    assert Input.model_validate(section | {"fields": {"x": "int"}}).event_id == "Größe.id"


def test_a_section_from_code_is_checked_like_the_file() -> None:
    with pytest.raises(ValidationError, match="key 'id' of the event is used twice"):
        Model.model_validate(
            {
                "input": {
                    "topic": "t",
                    "event_id": "id",
                    "event_time": "id",
                    "fields": {"x": "int"},
                },
                "registry": {"name": "m"},
            }
        )


def test_environment_is_not_read_before_it_is_needed(write: Any) -> None:
    assert "KAFKA_PASSWORD_OF_NOBODY" not in os.environ
    text = "kafka: {bootstrap: 'a:1', password: {env: KAFKA_PASSWORD_OF_NOBODY}}\n"
    assert load(write(text)).kafka.password == Secret(env="KAFKA_PASSWORD_OF_NOBODY")


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "//wiki.example/x",
        " https://wiki.example/x",
        'https://wiki.example/"><svg onload=x>',
        "https://wiki.example/{{ printf }}",
        "https://wiki.example/x\nrunbook: https://evil.example",
        "https://wiki.example/`x`",
    ],
)
def test_links_lead_to_the_web_and_are_nothing_else(write: Any, link: str) -> None:
    runbook = {"models": {"fraud": {**yaml.safe_load(MODEL)["models"]["fraud"], "runbook": link}}}
    (problem,) = problems(write(yaml.safe_dump(runbook)))
    assert "models.fraud.runbook = " in problem
    assert "must be an http or https URL" in problem
    (problem,) = problems(write(yaml.safe_dump({"notify": {"link": link}})))
    assert "notify.link = " in problem
