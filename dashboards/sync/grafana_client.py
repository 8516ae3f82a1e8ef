"""How Grafana is spoken to: grafana-client's calls, again while it is busy, with clear errors."""

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from grafana_client import GrafanaApi
from grafana_client.client import GrafanaException, GrafanaTimeoutError

from driftline.config.grafana import Grafana
from driftline.dashboards.sync import extra_calls
from driftline.errors import ConfigError, ServiceError
from driftline.grafana_api import client
from driftline.tls_errors import tls_problem

Json = dict[str, Any]
Call = Callable[[GrafanaApi], Any]

_BUSY = (429, 502, 503, 504)
_UNCLEAR = 500  # Grafana's word for some refusals too: asked once more, not for long
_FIRST_PAUSE = 0.2
_PAGE = 1_000  # of a search
_GONE = 404
_STALE = 412


class GrafanaError(ServiceError):
    """Grafana refuses a call, or does not answer; `status` is 0 then.

    Attributes:
        distrusted: TLS fails, which no other try changes.
    """

    def __init__(self, message: str, status: int = 0, *, distrusted: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.distrusted = distrusted

    @property
    def gone(self) -> bool:
        """What was asked for does not exist."""
        return self.status == _GONE

    @property
    def stale(self) -> bool:
        """Somebody else has changed it since it was read."""
        return self.status == _STALE


class Server:
    """One Grafana, as the account of a token.

    Parameters:
        settings: the section `grafana`, with a url.
        sleep: waits between two tries.

    Raises:
        ConfigError: there is no url, or the token cannot be read.
    """

    def __init__(self, settings: Grafana, sleep: Callable[[float], None] = time.sleep) -> None:
        if settings.url is None or settings.token is None:
            raise ConfigError("no Grafana in the config: set grafana.url and grafana.token")
        self.settings = settings
        self.requests = 0
        self._sleep = sleep
        self._token = settings.token.read()
        self._hidden = {self._token}
        self._lock = threading.Lock()
        self._threads = threading.local()
        self._version: tuple[int, int] | None = None

    def hide(self, secrets: list[str]) -> None:
        """Keep these out of every error, should the server repeat them."""
        self._hidden.update(secret for secret in secrets if secret)

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor; needs no rights."""
        if self._version is None:
            text = self.call("read the version", extra_calls.version)
            major, minor = text.split(".")[:2]
            self._version = int(major), int(minor)
        return self._version

    @property
    def editable(self) -> bool:
        """Whether people may edit alerting objects; every write says so, never one alone."""
        return self.settings.provenance == "editable"

    def folders(self) -> dict[str, Json]:
        """All folders that the account sees, by uid."""
        rows: list[Json] = []
        pages = 0
        while len(rows) == pages * _PAGE:
            pages += 1
            query = {"type_": "dash-folder", "limit": _PAGE, "page": pages}
            rows += self.call("search", partial(_search, query=query))
        return {one["uid"]: one for one in rows}

    def find(self, doing: str, make: Call) -> Any:
        """A call that reads what may not exist: None then."""
        try:
            return self.call(doing, make)
        except GrafanaError as error:
            if error.gone:
                return None
            raise

    def call(self, doing: str, make: Call) -> Any:
        """One call, repeated while the server is busy.

        Parameters:
            doing: what it is for, in the words of an error.
            make: the call, of grafana-client or of `lacking`.

        Raises:
            GrafanaError: what the server said, without any secret, and the way out.
        """
        deadline = time.monotonic() + self.settings.patience.total_seconds()
        pause = _FIRST_PAUSE
        tries = 0
        while True:
            tries += 1
            with self._lock:
                self.requests += 1
            try:
                return make(self._api)
            except (GrafanaException, OSError) as error:
                failed = self._explain(doing, error)
            again = failed.status in (0, *_BUSY) or (failed.status == _UNCLEAR and tries < 2)
            again = again and not failed.distrusted
            if not again or time.monotonic() + pause > deadline:
                raise failed from None
            self._sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads clients
            pause *= 2

    @property
    def _api(self) -> Any:
        """A client of its own for each thread: its session is not shared."""
        if not hasattr(self._threads, "api"):
            self._threads.api = client(self.settings, self._token)
        return self._threads.api

    def _explain(self, doing: str, error: Exception) -> GrafanaError:
        where = f"Grafana at {self.settings.url!r}"
        if isinstance(error, GrafanaTimeoutError):
            text = f"can't {doing}: {where} does not answer in time: see grafana.timeout"
            return GrafanaError(text)
        if not isinstance(error, GrafanaException):
            if (problem := tls_problem(error, "grafana.ca_file")) is not None:
                return GrafanaError(f"can't {doing}: {where}: {problem}", distrusted=True)
            text = f"can't {doing}: {where} can't be reached: check that it runs, and grafana.url"
            return GrafanaError(text)
        status = int(error.status_code)
        said = self._said(error)
        return GrafanaError(f"can't {doing}: {where} {_way_out(status, said)}", status)

    def _said(self, error: GrafanaException) -> str:
        body = error.response
        text = _message(body) if isinstance(body, dict) else str(body or "")
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return text[:500]


def _message(body: Json) -> str:
    """What went wrong, and its cause where there is one."""
    extra = body.get("extra")
    cause = extra.get("Error") if isinstance(extra, dict) else None
    return f"{body.get('message', '')} {cause}" if cause else str(body.get("message", ""))


def _search(api: GrafanaApi, query: Json) -> Any:
    return api.search.search_dashboards(**query)


def _way_out(status: int, said: str) -> str:
    if status == 401:
        return f"refuses the token ({said}): make a new one and set grafana.token"
    if status == 403:
        role = "Admin" if "datasources:" in said else "Editor"
        return f"lacks a right ({said}): give the service account the role {role}"
    if status == 412:
        return f"says that somebody else changed it meanwhile ({said}): run it again"
    if status in _BUSY:
        return f"is busy (HTTP {status} {said}): try again later"
    if "configuration in the storage is corrupted" in said:
        return (
            f"can't read its own Alertmanager ({said}): roll it back to an earlier version in "
            "Grafana, under Alerting, Settings"
        )
    return f"answers HTTP {status} {said!r}"
