"""Stores predictions in TimescaleDB. Delivery: exactly once, ensured by the ledger."""

from collections.abc import Callable

from driftline.config import Config
from driftline.profile.binning import Binning
from driftline.records import ScoredBatch, StoredBatch
from driftline.storage.log.write import Target, Writer
from driftline.storage.reconnect import Reconnecting


class TimescaleSink:
    """Durable on return, idempotent by offset; blocks while the database is unavailable.

    Parameters:
        config: with the model `name` in it.
        name: the model.
        binning_of: binning of a version's values for profiles; None for no profiles.
    """

    def __init__(
        self, config: Config, name: str, binning_of: Callable[[int], Binning] | None
    ) -> None:
        model = config.model(name)
        profiled = binning_of if model.profiles else None
        target = Target(name, model.input.topic, profiled, model.segments)
        self._writer = Reconnecting(
            config.local_postgres(), lambda connection: Writer(connection, target)
        )

    def write(self, batch: ScoredBatch) -> StoredBatch:
        """Store the batch, with retries while the database is unavailable.

        Raises:
            psycopg.OperationalError, ServiceError: the database is unavailable for minutes.
        """
        return self._writer.call(lambda writer: writer.write(batch))

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
