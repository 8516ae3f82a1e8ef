"""One Grafana and the stored state of what was applied to it, for the commands."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from driftline.config import Config
from driftline.dashboards.definitions.generate import DashboardError, generate_each
from driftline.dashboards.sync.desired import desired_objects
from driftline.dashboards.sync.grafana_client import Server
from driftline.dashboards.sync.kinds import DesiredObject
from driftline.errors import ConfigError
from driftline.storage.connection import Connection, connect
from driftline.storage.monitoring.grafana_state import GrafanaState


@dataclass(frozen=True)
class Session:
    """The objects that a command needs."""

    config: Config
    server: Server
    state: GrafanaState
    connection: Connection

    def desired_objects(
        self, dashboards: Iterable[dict[str, Any] | DashboardError] | None = None
    ) -> list[DesiredObject]:
        """All objects of the desired state.

        Raises:
            ConfigError: a secret cannot be read, or there is no key for their digests.
        """
        generated = generate_each(self.config) if dashboards is None else dashboards
        objects = desired_objects(self.config, generated, self.server.version)
        if not _key(self.config) and any(item.secrets for item in objects):
            raise ConfigError(
                "no key for the digests of Grafana's secrets, because role 'write' has no "
                "password: set grafana.secret_key"
            )
        return objects


@contextmanager
def session(config: Config) -> Iterator[Session]:
    """Open a session; the database role `write` stores what is applied.

    Raises:
        ConfigError: Grafana is not configured, or a secret cannot be read.
        ServiceError: the database is unavailable.
    """
    server = Server(config.grafana)
    key = _key(config)
    with connect(config.local_postgres(), "write", autocommit=True) as connection:
        state = GrafanaState(connection, config.grafana.url or "", config.grafana.org, key)
        yield Session(config, server, state, connection)


def _key(config: Config) -> str:
    """The key for the digests of secrets; empty for an account without a password."""
    secret = config.grafana.secret_key or config.local_postgres().roles.write.password
    return secret.read() if secret else ""
