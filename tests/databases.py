"""The databases of the shared stack, as the tests' own administrator makes them."""

import uuid
from functools import cached_property

import psycopg
from psycopg import sql

from driftline.config import Config
from driftline.services.public_rights import REVOKE
from driftline.services.stack import Stack
from driftline.storage.connection import Connection


def superuser(stack: Stack, config: Config, database: str) -> Connection:
    """A connection that may make databases, as nobody else in driftline."""
    address = config.local_postgres()
    return psycopg.connect(
        host=address.host,
        port=address.port,
        user="postgres",
        password=(stack.folder / "secrets" / "postgres_superuser").read_text().strip(),
        dbname=database,
        autocommit=True,
    )


def settle(stack: Stack) -> None:
    """Leave the tests' hundred databases alone: to vacuum each once a minute is a tenth of the work
    of two cores, and none lives for long enough to need it."""
    with superuser(stack, Config(state=stack.folder), "postgres") as connection:
        connection.execute("ALTER SYSTEM SET autovacuum = off")
        connection.execute("SELECT pg_reload_conf()")


class Databases:
    """Databases for tests, each with its owner, rights and extension as the stack makes them.

    They are copies of one, which takes a fifth of the time that the extension takes in each.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._config = Config(state=stack.folder)
        self._made: list[str] = []

    def make(self) -> str:
        """The name of a new one."""
        name = self._create(self._template)
        self._administer(
            "REVOKE ALL ON DATABASE {name} FROM PUBLIC",
            "GRANT CONNECT ON DATABASE {name} TO driftline_write, driftline_read",
            name=name,
        )
        return name

    def drop(self) -> None:
        """Those that were made."""
        for name in self._made:
            self._administer("DROP DATABASE IF EXISTS {name} WITH (FORCE)", name=name)

    @cached_property
    def _template(self) -> str:
        """To which nobody can connect, or it could not be copied."""
        name = self._create("template0")
        with superuser(self._stack, self._config, name) as connection:
            connection.execute("CREATE EXTENSION timescaledb")
            connection.execute(REVOKE)
        self._administer("ALTER DATABASE {name} ALLOW_CONNECTIONS false", name=name)
        with superuser(self._stack, self._config, "postgres") as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s",
                [name],
            )
        return name

    def _create(self, template: str) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        create = "CREATE DATABASE {name} OWNER driftline_migrate TEMPLATE {template}"
        self._administer(create, name=name, template=template)
        self._made.append(name)
        return name

    def _administer(self, *statements: str, **names: str) -> None:
        identifiers = {key: sql.Identifier(name) for key, name in names.items()}
        with superuser(self._stack, self._config, "postgres") as connection:
            for statement in statements:
                connection.execute(sql.SQL(statement).format(**identifiers))
