"""A secret that stands in driftline.yaml, at any key and in any shape, is in no error."""

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from driftline.config import Config, bounded_yaml, load
from driftline.config.masking import has_login
from driftline.config.template import TEMPLATE
from driftline.config.types import Secret
from driftline.dashboards.sync.desired import desired_objects
from driftline.errors import ConfigError

SECRET = "Qx7hunter2Zk"
Place = tuple[str, ...]
ITEM = "0"  # of a list


def places(kind: Any, path: Place = ()) -> Iterator[tuple[Place, bool]]:
    """Every place of the config that a value may stand at, and whether a secret is named there."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind is Secret:
            yield path, True
        for name, field in kind.model_fields.items():
            yield from places(field.annotation, (*path, name))
        return
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    yield path, False
    if origin is dict:
        yield from places(arguments[1], (*path, "oncall"))
    elif origin is tuple:
        yield from places(arguments[0], (*path, ITEM))
    elif origin is not typing.Literal:
        for argument in arguments:
            if argument is not type(None) and not isinstance(argument, str | int):
                yield from places(argument, path)


PLACES = sorted(set(places(Config)))
SECRETS = [place for place, secret in PLACES if secret]
LOGINS = [
    f"https://user:{SECRET}@host/x",
    f"https://{SECRET}@host",
    f"json://user:a/{SECRET}@host",
    f"postgresql+psycopg://:{SECRET}@host/db",
    f"s3://key:{SECRET}@bucket/x",
    f"https://host/x?a=1&token={SECRET}",
    f"https://host/#apiKey={SECRET}",
    f"user:{SECRET}@host:9092",
    f"broker:9092,user:{SECRET}@host:9092",
]


def nested(place: Place, value: object) -> Any:
    """A config with one value."""
    for key in reversed(place):
        value = [value] if key == ITEM else {key: value}
    return value


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "driftline.yaml"


def refusal(path: Path, text: str) -> str | None:
    """The error of a config, which does not hold the secret; None where it loads."""
    path.write_text(text)
    problem = None
    try:
        load(path)
    except ConfigError as error:
        problem = str(error)
    assert SECRET not in (problem or "")
    return problem


def test_the_places_are_found() -> None:
    found = {".".join(place) for place, _ in PLACES}
    assert {"notify.urls.0", "grafana.url", "models.oncall.runbook", "flink.properties.oncall"} < (
        found
    )
    assert ("notify", "urls", "0") in SECRETS
    assert ("grafana", "contact_points", "oncall", "settings", "oncall") in SECRETS


@given(st.sampled_from(PLACES), st.sampled_from(LOGINS), st.sampled_from(["", "[]", "{}", "key"]))
def test_a_login_is_refused_at_every_key(
    path: Path, place: tuple[Place, bool], login: str, shape: str
) -> None:
    shapes: dict[str, object] = {"": login, "[]": [login], "{}": {"x": login}, "key": {login: 1}}
    error = refusal(path, yaml.safe_dump(nested(place[0], shapes[shape])))
    assert error is not None
    assert "credentials are not allowed in this file" in error


@given(
    st.sampled_from(SECRETS),
    st.sampled_from(
        [
            SECRET,
            f"slack://{SECRET}/{SECRET}",
            [SECRET],
            {SECRET: None},
            {"value": SECRET},
            {"env": f"{SECRET} "},
            {"env": [SECRET]},
            {"env": "NAME", "file": SECRET},
            {"file": f"\x07{SECRET}"},
        ],
    ),
)
def test_what_stands_where_a_secret_is_named(path: Path, place: Place, value: object) -> None:
    error = refusal(path, yaml.safe_dump(nested(place, value)))
    if place[-1] != "oncall":  # settings, headers and properties may also be plain text
        assert error is not None
        assert ".".join(place) in error


@given(
    st.sampled_from([place for place, _ in PLACES if place]),
    st.sampled_from([f"password={SECRET}", f"a b token: {SECRET}", f"x?sig={SECRET}&a=b"]),
    st.booleans(),
)
def test_a_part_that_is_named_a_secret_is_masked(
    path: Path, place: Place, value: str, unknown: bool
) -> None:
    refusal(path, yaml.safe_dump(nested((*place[:-1], "unkown") if unknown else place, value)))


BEFORE = "kafka:\n  bootstrap: broker:9093\n  username: me\n  sasl_credentials: "
AFTER = "\npostgres: {host: db, roles: {read: {user: x, password: {env: A}}}}\n"


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(BEFORE + AFTER)),
            st.sampled_from(
                [*":{}[]'\"&*!|>%@`#,?- \n\t\\", "\x07", ": ", "\n- ", "<<: ", "!!int "]
            ),
            st.integers(0, 2),
        ),
        max_size=4,
    )
)
def test_no_slip_of_the_pen_repeats_the_secret(
    path: Path, slips: list[tuple[int, str, int]]
) -> None:
    """Characters that are added and left out anywhere but within the secret."""
    before, after = BEFORE, AFTER
    for place, added, left_out in slips:
        if place <= len(before):
            before = before[:place] + added + before[place + left_out :]
        else:
            at = place - len(BEFORE)
            after = after[:at] + added + after[at + left_out :]
    refusal(path, before + SECRET + after)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f'notify: {{urls: ["json://user:{SECRET}@host"]}}\n',
            "1: notify.urls.0 = 'json://***@host': credentials are not allowed in this file: ",
        ),
        (
            f"grafana:\n  url: https://user:{SECRET}@host\n",
            "2: grafana.url = 'https://***@host': credentials are not allowed in this file: ",
        ),
        (
            f"mlflow: {{tracking_uri: 'http://u:{SECRET}@host:80/x'}}\n",
            "1: mlflow.tracking_uri = 'http://***@host:80/x': credentials are not allowed in ",
        ),
        (
            f"flink: {{checkpoint_dir: 's3://key:{SECRET}@bucket/x'}}\n",
            "1: flink.checkpoint_dir = 's3://***@bucket/x': credentials are not allowed in this ",
        ),
        (
            f"flink: {{properties: {{s3.secret-key: {SECRET}}}}}\n",
            "1: flink: property 's3.secret-key' is a secret: give {env: NAME} or {file: PATH}",
        ),
        (
            f"notify: {{urls: [slack://{SECRET}]}}\n",
            "1: notify.urls.0: a secret must be a reference: give exactly one of env and file, "
            "as {env: NAME} or {file: PATH}",
        ),
        (
            f"grafana: {{contact_points: {{a: {{type: webhook, settings: {{url: 'https://x', "
            f"hmac_secret: {SECRET}}}}}}}}}\n",
            "1: grafana.contact_points.a: setting 'hmac_secret' is a secret: give {env: NAME} or "
            "{file: PATH}",
        ),
        (f"kafka: {{password: *{SECRET} }}\n", "1: not YAML: found undefined alias '***'"),
        (f"kafka: {{password: !{SECRET} x}}\n", "1: not YAML: a tag, key or binary value "),
        (f"kafka: {{password {SECRET}: }}\n", "1: kafka.***: Extra inputs are not permitted"),
        (f"{SECRET} x: 1\n{SECRET} x: 1\n", "2: ***: duplicate key"),
    ],
)
def test_the_key_is_named_and_the_value_masked(path: Path, text: str, expected: str) -> None:
    error = refusal(path, text)
    assert error is not None
    assert error.removeprefix(f"{path}:").startswith(expected)


@pytest.mark.parametrize(
    "address",
    [
        "https://host:8443/@me?page=2#part",
        "https://wiki.example/runbook?author=me&keyword=x",
        "abfss://container@account.dfs.core.windows.net/x",
        "s3://bucket/a@b:c/d",
        "broker1:9092,broker2:9092",
        "me@example.com;you@example.com",
        "Created by: me@example.com",
    ],
)
def test_addresses_without_a_login_are_taken(address: str) -> None:
    assert not has_login(address)


def test_secrets_of_flinks_own_settings(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_KEY", SECRET)
    path.write_text("flink: {properties: {s3.secret-key: {env: S3_KEY}, a.b: c}}\n")
    flink = load(path).flink
    assert flink.read_properties() == {"s3.secret-key": SECRET, "a.b": "c"}
    assert SECRET not in repr(flink)


@pytest.mark.parametrize("value", [f"{SECRET}\n{SECRET}", f"{SECRET}\x00", f"{SECRET}\r"])
def test_a_secret_that_libraries_would_repeat_is_not_given_to_them(
    tmp_path: Path, value: str
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(f"x{value}x".encode())
    with pytest.raises(ConfigError, match="has a line break or control character") as error:
        Secret(file=file).read()
    assert SECRET not in str(error.value)


def test_a_pem_key_reaches_flink_and_grafana(path: Path) -> None:
    key = path.parent / "key.pem"
    key.write_text("-----BEGIN-----\nx\n-----END-----\n")
    path.write_text(
        "flink: {properties: {sasl.jaas.config: {file: key.pem}}}\n"
        "postgres: {host: db.example}\n"
        "grafana:\n"
        "  data_source: {ca_file: key.pem}\n"
        "  contact_points: {us: {type: webhook, settings: {url: 'https://h', password: {file: "
        "key.pem}}}}\n"
    )
    config = load(path)
    assert config.flink.read_properties() == {"sasl.jaas.config": key.read_text().strip()}
    sent = [
        secret for one in desired_objects(config, [], (11, 0)) for secret in one.secrets.values()
    ]
    assert sent == [key.read_text().strip()] * 2


@pytest.mark.parametrize("value", ["a\x00b", "a\tb", "a\x7fb"])
def test_several_lines_have_no_other_control_characters(tmp_path: Path, value: str) -> None:
    file = tmp_path / "secret"
    file.write_text(f"x\n{value}")
    with pytest.raises(ConfigError, match="has a line break or control character"):
        Secret(file=file).read(lines=True)


def nest(levels: int) -> str:
    return "a: " + "[" * levels + "]" * levels


def bomb() -> str:
    """Ten lines, each ten times the one before."""
    lines = [f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(["b0: &b0 [x]", *lines])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (bomb(), "7: more than 500,000 values, with aliases expanded"),
        (
            "a: &a {k: v}\nb: &b {" + ", ".join(f"k{n}: *a" for n in range(99)) + "}\n"
            "<<: [" + ", ".join(["*b"] * 9_999) + "]",
            "3: more than 500,000 values, with aliases expanded",
        ),
        ("a: &a [*a]", "1: an alias refers to a value that contains it"),
        ("a: &a {b: {<<: *a}}", "1: an alias refers to a value that contains it"),
        (nest(5_000), "1: nested deeper than 50 levels"),
        (
            "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 3_000)),
            "50: nested deeper than 50 levels, with aliases expanded",
        ),
        ("#" * bounded_yaml.LARGEST + "#", "1: longer than 5,000,000 characters"),
        ("a:\n  b: 2026-13-01", "2: a value looks like a date or number but is not one: "),
        ("a: " + "9" * 5_000, "1: a value looks like a date or number but is not one: "),
        ("a: 1" + ":1" * 500, "1: a value looks like a date or number but is not one: "),
        ("a: !!timestamp x", "1: a value looks like a date or number but is not one: "),
        ("a: !!bool x", "1: a value looks like a date or number but is not one: "),
        ("? [a]\n: b", "1: not YAML: a tag, key or binary value that is not plain data"),
        ("a: !!binary x", "1: not YAML: a tag, key or binary value that is not plain data"),
    ],
)
def test_bombs_and_odd_values_are_refused(path: Path, text: str, problem: str) -> None:
    error = refusal(path, text)
    assert error is not None
    assert error.removeprefix(f"{path}:").startswith(problem)


def test_few_aliases_are_fine(path: Path) -> None:
    again = TEMPLATE.replace("models:\n  payments:", "models:\n  churn: &one\n", 1)
    path.write_text(again + "  again: *one\n")
    assert load(path).model("again") == load(path).model("churn")


@given(st.text(st.sampled_from("ab:{}[]&*!<|>'\"-,?#%0 1.\n\t"), max_size=60))
def test_whatever_is_read_is_data_or_an_error(text: str) -> None:
    line = 1
    try:
        bounded_yaml.parse(text)
    except bounded_yaml.YamlError as error:
        line = error.line
    assert 1 <= line <= text.count("\n") + 1
