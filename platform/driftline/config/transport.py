"""What the config sends over a network in plain text, or to a server that does not prove itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from driftline.config import LOCAL, Config
from driftline.config.types import Secret
from driftline.errors import ConfigError

_PLAIN_MODES = ("disable", "allow", "prefer")


@dataclass(frozen=True)
class Exposed:
    """One way that others on the network can read or change.

    Attributes:
        what: the setting, and what it exposes.
        fix: what to set instead.
    """

    what: str
    fix: str


def exposed(config: Config) -> list[Exposed]:
    """All of the config; what stays on this machine is not counted.

    Addresses that are secrets are looked at where they can be read.
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


def _postgres(config: Config) -> Iterator[Exposed]:
    source = config.grafana.data_source
    yield from _database("postgres", config.postgres.host, config.postgres.sslmode)
    if config.grafana.url is not None and source.sslmode is not None:
        host = source.host or config.postgres.host
        yield from _database("grafana.data_source", host, source.sslmode)


def _database(section: str, host: str, mode: str) -> Iterator[Exposed]:
    remote = [one for one in host.split(",") if not is_loopback(one)]
    ca_key = "ca_file" if section.startswith("grafana") else "sslrootcert"
    fix = f"set {section}.sslmode: verify-full, and {section}.{ca_key} to its authority's PEM file"
    if remote and mode in _PLAIN_MODES:
        yield Exposed(
            f"{section}.sslmode {mode!r} can send rows and logins to {remote[0]!r} in plain text",
            fix,
        )
    elif remote and mode == "require":
        yield Exposed(
            f"{section}.sslmode 'require' does not check that {remote[0]!r} is the database", fix
        )


def _kafka(config: Config) -> Iterator[Exposed]:
    kafka = config.kafka
    hosts = [one.strip().rpartition(":")[0] or one for one in kafka.bootstrap.split(",")]
    remote = [host for host in hosts if not is_loopback(host)]
    if remote and kafka.security_protocol.endswith("PLAINTEXT"):
        sasl = kafka.security_protocol.startswith("SASL")
        yield Exposed(
            f"kafka.security_protocol {kafka.security_protocol!r} sends events"
            f"{' and the login' if sasl else ''} to {remote[0]!r} in plain text",
            f"set kafka.security_protocol: {'SASL_SSL' if sasl else 'SSL'}, and kafka.ca_file "
            "where no public authority signs",
        )


def _mlflow(config: Config) -> Iterator[Exposed]:
    mlflow = config.mlflow
    if mlflow.username is not None or mlflow.password is not None or mlflow.token is not None:
        yield from _http("mlflow.tracking_uri", mlflow.tracking_uri, "the login")


def _grafana(config: Config) -> Iterator[Exposed]:
    grafana = config.grafana
    yield from _http("grafana.url", grafana.url or "", "the token")
    for name, point in grafana.contact_points.items():
        url = point.settings.get("url")
        if isinstance(url, str) and any(isinstance(s, Secret) for s in point.settings.values()):
            yield from _http(f"grafana.contact_points.{name}.settings.url", url, "secrets")


def _model_servers(config: Config) -> Iterator[Exposed]:
    for name, model in config.models.items():
        serving = model.registry.serving
        if serving is not None and any(isinstance(s, Secret) for s in serving.headers.values()):
            section = f"models.{name}.registry.serving.url"
            yield from _http(section, serving.url, "the secrets of headers")


def _addresses(config: Config) -> Iterator[Exposed]:
    """Addresses that are secrets themselves: they are not shown."""
    if _is_remote_http(_read(config.runner.heartbeat)):
        yield _plain_http("runner.heartbeat", "its secret address")
    for number, secret in enumerate(config.notify.urls, 1):
        if _notifies_in_plain_text(_read(secret)):
            yield Exposed(
                f"address {number} of notify.urls sends messages and its login in plain text",
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


def _http(key: str, url: str, what: str) -> Iterator[Exposed]:
    if _is_remote_http(url):
        yield _plain_http(key, f"{what} to {urlsplit(url).hostname!r}")


def _plain_http(key: str, what: str) -> Exposed:
    return Exposed(f"{key} sends {what} in plain text", f"use https:// in {key}")


def _is_remote_http(url: str) -> bool:
    try:
        address = urlsplit(url)
    except ValueError:
        return False
    return address.scheme.lower() == "http" and not is_loopback(address.hostname or "")
