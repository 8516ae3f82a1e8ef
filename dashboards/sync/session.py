"""One Grafana with its memory in the database, as the commands use them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from driftline.config import Config
from driftline.dashboards.definitions.generate import PageError, pages
from driftline.dashboards.sync.desired import wanted
from driftline.dashboards.sync.grafana_client import Server
from driftline.dashboards.sync.kinds import Wanted
from driftline.errors import ConfigError
from driftline.storage.connection import Connection, connect
from driftline.storage.monitoring.grafana_state import GrafanaState


@dataclass(frozen=True)
class Session:
    """What a command works with."""

    config: Config
    server: Server
    state: GrafanaState
    connection: Connection

    def wanted(
        self, dashboards: Iterable[dict[str, Any] | PageError] | None = None
    ) -> list[Wanted]:
        """All that Grafana should hold.

        Raises:
            ConfigError: a secret cannot be read, or there is no key for their digests.
        """
        made = pages(self.config) if dashboards is None else dashboards
        objects = wanted(self.config, made, self.server.version)
        if not _key(self.config) and any(one.secrets for one in objects):
            raise ConfigError(
                "no key for the digests of Grafana's secrets, as role 'write' has no password: "
                "set grafana.secret_key"
            )
        return objects


@contextmanager
def session(config: Config) -> Iterator[Session]:
    """Open both; the account of role `write` remembers what is applied.

    Raises:
        ConfigError: there is no Grafana in the config, or a secret cannot be read.
        ServiceError: the database cannot be reached.
    """
    server = Server(config.grafana)
    key = _key(config)
    with connect(config.local_postgres(), "write", autocommit=True) as connection:
        state = GrafanaState(connection, config.grafana.url or "", config.grafana.org, key)
        yield Session(config, server, state, connection)


def _key(config: Config) -> str:
    """Of the digests of secrets; none for an account that logs in without a password."""
    secret = config.grafana.secret_key or config.local_postgres().roles.write.password
    return secret.read() if secret else ""
