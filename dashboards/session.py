"""One Grafana with its memory in the database, as the commands use them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dashboards.generate import PageError, pages
from dashboards.kinds import Wanted
from dashboards.server import Server
from dashboards.wanted import wanted
from driftline.config import Config
from driftline.storage.connection import Connection, connect
from driftline.storage.grafana_state import GrafanaState


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
        """All that Grafana should hold."""
        made = pages(self.config) if dashboards is None else dashboards
        return wanted(self.config, made, self.server.version)


@contextmanager
def session(config: Config) -> Iterator[Session]:
    """Open both; the account of role `write` remembers what is applied.

    Raises:
        ConfigError: there is no Grafana in the config, or a secret cannot be read.
        ServiceError: the database cannot be reached.
    """
    server = Server(config.grafana)
    postgres = config.local_postgres()
    password = config.grafana.secret_key or postgres.roles.write.password
    key = password.read() if password else ""
    with connect(postgres, "write", autocommit=True) as connection:
        state = GrafanaState(connection, config.grafana.url or "", config.grafana.org, key)
        yield Session(config, server, state, connection)
