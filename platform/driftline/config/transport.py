"""Connections of the config that are not encrypted, or whose server is not authenticated."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from driftline.config import LOCAL, Config
from driftline.config.types import Secret
from driftline.errors import ConfigError

_PLAIN_MODES = ("disable", "allow", "prefer")


@dataclass(frozen=True)
class Exposure:
    """One connection that others on the network can read or change.

    Attributes:
        problem: the setting, and what it exposes.
        fix: what to set instead.
    """

    problem: str
    fix: str


def exposed(config: Config) -> list[Exposure]:
    """All exposed connections of the config; connections within this machine do not count.

    An address that is a secret is checked if it can be read.
    """
    return [
        *_postgres(config),
        *_kafka(config),
        *_mlflow(config),
        *_grafana(config),
        *_model_servers(config),
        *_addresses(config),
    ]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or number alone.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "/run", "db")]
    [True, True, True, True, False]
    """
    if host in {LOCAL, "localhost"} or host.endswith(".localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _postgres(config: Config) -> Iterator[Exposure]:
    source = config.grafana.data_source
    yield from _database("postgres", config.postgres.host, config.postgres.sslmode)
    if config.grafana.url is not None and source.sslmode is not None:
        host = source.host or config.postgres.host
        yield from _database("grafana.data_source", host, source.sslmode)


def _database(section: str, host: str, mode: str) -> Iterator[Exposure]:
    remote = [name for name in host.split(",") if not is_loopback(name)]
    ca_key = "ca_file" if section.startswith("grafana") else "sslrootcert"
    fix = f"set {section}.sslmode: verify-full, and {section}.{ca_key} to its authority's PEM file"
    if remote and mode in _PLAIN_MODES:
        yield Exposure(
            f"{section}.sslmode {mode!r} may send data and credentials to {remote[0]!r} in plain "
            "text",
            fix,
        )
    elif remote and mode == "require":
        yield Exposure(
            f"{section}.sslmode 'require' does not verify the identity of {remote[0]!r}", fix
        )


def _kafka(config: Config) -> Iterator[Exposure]:
    kafka = config.kafka
    hosts = [server.strip().rpartition(":")[0] or server for server in kafka.bootstrap.split(",")]
    remote = [host for host in hosts if not is_loopback(host)]
    if remote and kafka.security_protocol.endswith("PLAINTEXT"):
        sasl = kafka.security_protocol.startswith("SASL")
        yield Exposure(
            f"kafka.security_protocol {kafka.security_protocol!r} sends events"
            f"{' and credentials' if sasl else ''} to {remote[0]!r} in plain text",
            f"set kafka.security_protocol: {'SASL_SSL' if sasl else 'SSL'}, and kafka.ca_file "
            "unless a public authority signed its certificate",
        )


def _mlflow(config: Config) -> Iterator[Exposure]:
    mlflow = config.mlflow
    if mlflow.username is not None or mlflow.password is not None or mlflow.token is not None:
        yield from _http("mlflow.tracking_uri", mlflow.tracking_uri, "credentials")


def _grafana(config: Config) -> Iterator[Exposure]:
    grafana = config.grafana
    yield from _http("grafana.url", grafana.url or "", "the token")
    for name, point in grafana.contact_points.items():
        url = point.settings.get("url")
        if isinstance(url, str) and any(isinstance(s, Secret) for s in point.settings.values()):
            yield from _http(f"grafana.contact_points.{name}.settings.url", url, "secrets")


def _model_servers(config: Config) -> Iterator[Exposure]:
    for name, model in config.models.items():
        serving = model.registry.serving
        if serving is not None and any(isinstance(s, Secret) for s in serving.headers.values()):
            section = f"models.{name}.registry.serving.url"
            yield from _http(section, serving.url, "secret headers")


def _addresses(config: Config) -> Iterator[Exposure]:
    """Addresses that are secrets themselves: messages must not show them."""
    if _is_remote_http(_read(config.runner.heartbeat_url)):
        yield _plain_http("runner.heartbeat_url", "its secret address")
    for number, secret in enumerate(config.notify.urls, 1):
        if _notifies_in_plain_text(_read(secret)):
            yield Exposure(
                f"URL {number} of notify.urls sends messages and credentials in plain text",
                "use the service's TLS scheme, such as jsons:// for json://",
            )


def _read(secret: Secret | None) -> str:
    try:
        return "" if secret is None else secret.read()
    except ConfigError:
        return ""


def _notifies_in_plain_text(address: str) -> bool:
    from apprise import Apprise

    channel = Apprise.instantiate(address) if address else None
    if channel is None:
        return False
    plain = channel.protocol or ()
    scheme = address.partition("://")[0].lower()
    host = getattr(channel, "host", None) or ""
    return scheme in ((plain,) if isinstance(plain, str) else plain) and not is_loopback(host)


def _http(key: str, url: str, payload: str) -> Iterator[Exposure]:
    if _is_remote_http(url):
        yield _plain_http(key, f"{payload} to {urlsplit(url).hostname!r}")


def _plain_http(key: str, payload: str) -> Exposure:
    return Exposure(f"{key} sends {payload} in plain text", f"use https:// in {key}")


def _is_remote_http(url: str) -> bool:
    try:
        address = urlsplit(url)
    except ValueError:
        return False
    return address.scheme.lower() == "http" and not is_loopback(address.hostname or "")
