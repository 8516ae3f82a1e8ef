"""Syncs driftline's silences and acknowledgements to Grafana, after commands and during a run."""

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from driftline.errors import DriftlineError

if TYPE_CHECKING:
    from driftline.config import Config

log = logging.getLogger("driftline.grafana")
EVERY_SECONDS = 60.0
GRAFANA_NOT_NOTIFIED = 4  # exit code: the command succeeded, Grafana could not be updated
_PATIENCE = timedelta(seconds=3)


def with_silences_synced(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command with the option `config`: Grafana's silences are synced while it runs."""

    @functools.wraps(command)
    def with_grafana(*arguments: Any, config: Path, **options: Any) -> None:
        from driftline.config import load

        with keep_synced(load(config)):
            command(*arguments, config=config, **options)

    return with_grafana


def notifying_grafana(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command with the option `config` that changes silences: Grafana is synced immediately.

    A silenced alert keeps the value 1 in Grafana, so Grafana never takes a silence for its end.
    The command takes effect even if Grafana is unavailable; the exit code then reports that.
    """

    @functools.wraps(command)
    def with_grafana(*arguments: Any, config: Path, **options: Any) -> None:
        from driftline.config import load

        command(*arguments, config=config, **options)
        if (loaded := load(config)).grafana.url is None:
            return
        try:
            _sync(_with_short_timeouts(loaded), _PATIENCE)
        except DriftlineError as error:
            typer.echo(
                f"done, but Grafana could not be updated and notifies as before: {error}\n"
                "The runner retries every minute; 'driftline dashboards silences' retries now.",
                err=True,
            )
            raise typer.Exit(GRAFANA_NOT_NOTIFIED) from None

    return with_grafana


@contextmanager
def keep_synced(config: "Config", every: float = EVERY_SECONDS) -> Iterator[None]:
    """Sync silences every `every` seconds and at the end; does nothing without a Grafana.

    An unavailable Grafana never disturbs the body: the failure is logged, the next sync retries.
    """
    if config.grafana.url is None:
        yield
        return
    ended = threading.Event()

    def loop() -> None:
        while not ended.wait(every):
            _try_sync(config)

    thread = threading.Thread(target=loop, name="grafana", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _try_sync(config)


def _with_short_timeouts(config: "Config") -> "Config":
    """For a person who waits for the command."""
    grafana = config.grafana
    waits = {
        "retry_for": min(grafana.retry_for, _PATIENCE),
        "timeout": min(grafana.timeout, _PATIENCE),
    }
    return config.model_copy(update={"grafana": grafana.model_copy(update=waits)})


def _sync(config: "Config", patience: timedelta | None = None) -> None:
    from driftline.dashboards.sync.session import session
    from driftline.dashboards.sync.silences import sync

    with session(config) as grafana:
        sync(grafana.server, grafana.connection, grafana.state, patience)


def _try_sync(config: "Config") -> None:
    try:
        _sync(config)
    except DriftlineError as error:
        log.warning("cannot sync silences to Grafana: %s", error)
    except Exception:  # the runner continues after any error
        log.exception("cannot sync silences to Grafana")
