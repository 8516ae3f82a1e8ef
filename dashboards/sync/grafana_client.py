"""Client for Grafana: calls of grafana-client, with retries while it is busy and clear errors."""

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
_UNCLEAR = 500  # Grafana also returns it for some invalid requests: only one retry
_FIRST_PAUSE = 0.2
_PAGE_SIZE = 1_000  # of a search
_NOT_FOUND = 404
_STALE = 412


class GrafanaError(ServiceError):
    """Grafana rejects a call, or does not respond.

    Attributes:
        status: the HTTP status; 0 without a response.
        untrusted: TLS verification failed, so a retry is pointless.
    """

    def __init__(self, message: str, status: int = 0, *, untrusted: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.untrusted = untrusted

    @property
    def not_found(self) -> bool:
        """Whether the object does not exist."""
        return self.status == _NOT_FOUND

    @property
    def stale(self) -> bool:
        """Whether somebody else has changed the object since it was read."""
        return self.status == _STALE


class Server:
    """One Grafana, as the account of a token.

    Parameters:
        settings: the section `grafana`, with a url.
        sleep: called between two attempts.

    Raises:
        ConfigError: the url is missing, or the token cannot be read.
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
        """Mask these secrets in every error, in case the server repeats them."""
        self._hidden.update(secret for secret in secrets if secret)

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor version of the server; needs no permission."""
        if self._version is None:
            text = self.call("read the version", extra_calls.version)
            major, minor = text.split(".")[:2]
            self._version = int(major), int(minor)
        return self._version

    @property
    def editable(self) -> bool:
        """Whether people may edit alerting objects; every write declares it."""
        return self.settings.provenance == "editable"

    def folders(self) -> dict[str, Json]:
        """All folders that are visible to the account, by uid."""
        rows: list[Json] = []
        pages = 0
        while len(rows) == pages * _PAGE_SIZE:
            pages += 1
            query = {"type_": "dash-folder", "limit": _PAGE_SIZE, "page": pages}
            rows += self.call("search", partial(_search, query=query))
        return {row["uid"]: row for row in rows}

    def find(self, action: str, request: Call) -> Any:
        """Read an object; None if it does not exist."""
        try:
            return self.call(action, request)
        except GrafanaError as error:
            if error.not_found:
                return None
            raise

    def call(self, action: str, request: Call) -> Any:
        """Send a request; repeat it while the server is busy.

        Parameters:
            action: what the request does, for errors ("can't ...").
            request: a call of grafana-client or of `extra_calls`.

        Raises:
            GrafanaError: the server's message without secrets, and what to do.
        """
        deadline = time.monotonic() + self.settings.retry_for.total_seconds()
        pause = _FIRST_PAUSE
        attempts = 0
        while True:
            attempts += 1
            with self._lock:
                self.requests += 1
            try:
                return request(self._api)
            except (GrafanaException, OSError) as error:
                failure = self._explain(action, error)
            retry = failure.status in (0, *_BUSY) or (failure.status == _UNCLEAR and attempts < 2)
            retry = retry and not failure.untrusted
            if not retry or time.monotonic() + pause > deadline:
                raise failure from None
            self._sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads clients
            pause *= 2

    @property
    def _api(self) -> Any:
        """One client per thread, because its session is not thread-safe."""
        if not hasattr(self._threads, "api"):
            self._threads.api = client(self.settings, self._token)
        return self._threads.api

    def _explain(self, action: str, error: Exception) -> GrafanaError:
        server = f"Grafana at {self.settings.url!r}"
        if isinstance(error, GrafanaTimeoutError):
            text = f"can't {action}: {server} does not respond in time: see grafana.timeout"
            return GrafanaError(text)
        if not isinstance(error, GrafanaException):
            if (problem := tls_problem(error, "grafana.ca_file")) is not None:
                return GrafanaError(f"can't {action}: {server}: {problem}", untrusted=True)
            text = f"can't {action}: {server} is unreachable: check that it runs, and grafana.url"
            return GrafanaError(text)
        status = int(error.status_code)
        advice = _advice(status, self._reason(error))
        return GrafanaError(f"can't {action}: {server} {advice}", status)

    def _reason(self, error: GrafanaException) -> str:
        body = error.response
        text = _message(body) if isinstance(body, dict) else str(body or "")
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return text[:500]


def _message(body: Json) -> str:
    """The message of a response, and its cause if given."""
    extra = body.get("extra")
    cause = extra.get("Error") if isinstance(extra, dict) else None
    return f"{body.get('message', '')} {cause}" if cause else str(body.get("message", ""))


def _search(api: GrafanaApi, query: Json) -> Any:
    return api.search.search_dashboards(**query)


def _advice(status: int, reason: str) -> str:
    if status == 401:
        return f"rejected the token ({reason}): create a new one and set grafana.token"
    if status == 403:
        role = "Admin" if "datasources:" in reason else "Editor"
        return f"denied permission ({reason}): give the service account the role {role}"
    if status == _STALE:
        return f"reports a change by somebody else in the meantime ({reason}): try again"
    if status in _BUSY:
        return f"is busy (HTTP {status} {reason}): try again later"
    if "configuration in the storage is corrupted" in reason:
        return (
            f"can't read its Alertmanager configuration ({reason}): restore an earlier version in "
            "Grafana, under Alerting, Settings"
        )
    return f"returned HTTP {status} {reason!r}: check Grafana's log"
