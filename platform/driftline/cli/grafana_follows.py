"""Grafana follows driftline's silences and acknowledgements: at once, and while the runner runs."""

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
NOT_TOLD = 4  # exit code of a command that is done, but of which Grafana does not know yet
_PATIENCE = timedelta(seconds=3)


def followed(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the option `config`, beside which Grafana is kept in step."""

    @functools.wraps(command)
    def with_grafana(*arguments: Any, config: Path, **options: Any) -> None:
        from driftline.config import load

        with following(load(config)):
            command(*arguments, config=config, **options)

    return with_grafana


def told(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the option `config` that silences or ends a silence: Grafana does at once.

    An alert that fires is a 1 all the while, so that Grafana never takes a silence for its end.
    What is done here holds whatever becomes of Grafana; that it was not told has an exit code.
    """

    @functools.wraps(command)
    def with_grafana(*arguments: Any, config: Path, **options: Any) -> None:
        from driftline.config import load

        command(*arguments, config=config, **options)
        if (loaded := load(config)).grafana.url is None:
            return
        try:
            _tell(_impatient(loaded), _PATIENCE)
        except DriftlineError as error:
            typer.echo(
                f"this is done, but Grafana does not know it yet and notifies as before: {error}\n"
                "The runner tries again every minute, 'driftline dashboards silences' at once.",
                err=True,
            )
            raise typer.Exit(NOT_TOLD) from None

    return with_grafana


@contextmanager
def following(config: "Config", every: float = EVERY_SECONDS) -> Iterator[None]:
    """Bring silences in step now and then, and at the end; does nothing without a Grafana.

    A Grafana that is away never disturbs what runs beside: it is logged, and tried again.
    """
    if config.grafana.url is None:
        yield
        return
    ended = threading.Event()

    def loop() -> None:
        while not ended.wait(every):
            _sync(config)

    thread = threading.Thread(target=loop, name="grafana", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _sync(config)


def _impatient(config: "Config") -> "Config":
    """For a person who waits for the answer."""
    grafana = config.grafana
    waits = {
        "patience": min(grafana.patience, _PATIENCE),
        "timeout": min(grafana.timeout, _PATIENCE),
    }
    return config.model_copy(update={"grafana": grafana.model_copy(update=waits)})


def _tell(config: "Config", patience: timedelta | None = None) -> None:
    from driftline.dashboards.sync.session import session
    from driftline.dashboards.sync.silences import sync

    with session(config) as grafana:
        sync(grafana.server, grafana.connection, grafana.state, patience)


def _sync(config: "Config") -> None:
    try:
        _tell(config)
    except DriftlineError as error:
        log.warning("Grafana's silences are not in step: %s", error)
    except Exception:  # whatever it is, the runner goes on
        log.exception("Grafana's silences are not in step")
