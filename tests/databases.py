"""The database of the shared stack, as the tests' own administrator sees it."""

import psycopg

from driftline.config import Config
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
