"""One HTTP server that must answer in the end: what passes is waited for, what does not is told."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from datetime import timedelta
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import msgspec
import tenacity

from driftline.config import TensorFlowServing
from driftline.config.types import LOGIN_KEY, Secret
from driftline.errors import RegistryError, ServiceError
from driftline.tls_errors import tls_problem

_PASSING = frozenset({404, 408, 425, 429, 502, 503, 504})  # 404: not loaded yet, or again
_ABOUT_THE_CALLER = frozenset({401, 403, 405})
_FAILED_TRIES = 3  # a 500 may be the server's bad moment, or one row that its model fails on
_SHOWN = 200  # characters of an answer that an error quotes


class RefusedError(RegistryError):
    """The server refuses this request; another one may be taken.

    Attributes:
        status: HTTP's.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Server:
    """A client of one server, for many threads.

    Parameters:
        settings: address, time limits, login.

    Raises:
        ConfigError: a header's secret cannot be read.
        ServiceError: a certificate cannot be read.
    """

    def __init__(self, settings: TensorFlowServing) -> None:
        self._settings = settings
        self._patience = settings.patience
        self._breaker = Breaker()
        timeout = settings.timeout.total_seconds()
        self._client = httpx.Client(
            base_url=settings.url,
            headers={
                name: value.read() if isinstance(value, Secret) else value
                for name, value in settings.headers.items()
            },
            timeout=timeout,
            limits=httpx.Limits(
                max_connections=settings.connections,
                max_keepalive_connections=settings.connections,
            ),
            verify=_tls(settings),
        )

    def within(self, patience: timedelta) -> Self:
        """The same server, over the same connections, for who waits for it no longer than this."""
        hurried = copy(self)
        hurried._patience = patience
        return hurried

    def get(self, path: str) -> Any:
        """The JSON at a path; see `post`."""
        return self._until_it_answers("GET", path, None)

    def post(self, path: str, content: bytes) -> Any:
        """Send JSON and give the answer's.

        Blocks while the server is away, overloaded, or gives half an answer: that is the
        back-pressure that loses nothing.

        Raises:
            RefusedError: it refuses this request, or fails on it each time.
            ServiceError: it takes no request at all, or was away for longer than `patience`.
        """
        return self._until_it_answers("POST", path, content)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _until_it_answers(self, method: str, path: str, content: bytes | None) -> Any:
        patience = self._patience.total_seconds()
        retrying = tenacity.Retrying(
            stop=tenacity.stop_any(tenacity.stop_after_delay(patience), _StopFailing()),
            wait=_wait,
            retry=tenacity.retry_if_exception_type(_PassingError),
            reraise=True,
        )
        try:
            return retrying(self._once, method, path, content)
        except _FailingError as error:
            raise RefusedError(f"{self._where(path)} fails: {error}", 500) from error
        except _PassingError as error:
            raise ServiceError(
                f"{self._where(path)} gave no answer for {patience:g} s: {error} (see that it runs "
                "and has the model, and registry.serving: url, name, version)"
            ) from error

    def _once(self, method: str, path: str, content: bytes | None) -> Any:
        with self._breaker.attempt():
            try:
                answer = self._client.request(
                    method, path, content=content, headers={"Content-Type": "application/json"}
                )
            except httpx.TransportError as error:  # refused, reset, too slow, cut off
                if (problem := _untrusted(error)) is not None:
                    raise ServiceError(f"{self._where(path)}: {problem}") from error
                raise _PassingError(f"{type(error).__name__}: {error}") from error
            if answer.status_code in _PASSING and (method != "GET" or answer.status_code != 404):
                raise _PassingError(_told(answer), _retry_after(answer))
            if answer.status_code >= 500:
                raise _FailingError(_told(answer))
            if answer.is_success:
                return _parsed(answer.content)
        if answer.status_code in _ABOUT_THE_CALLER or answer.is_redirect:
            raise ServiceError(
                f"{self._where(path)} refuses to talk: {_told(answer)} (see registry.serving.url "
                "and headers)"
            )
        raise RefusedError(f"{self._where(path)} refuses: {_told(answer)}", answer.status_code)

    def _where(self, path: str) -> str:
        return f"the model server at {self._settings.url.rstrip('/')}{path}"


class Breaker:
    """Keeps threads from hammering a server that is away: after some failures one asks at a time.

    Parameters:
        limit: so many failures in a row open it.
        pause: seconds between two probes while it is open.
    """

    def __init__(self, limit: int = 5, pause: float = 1.0) -> None:
        self._limit = limit
        self._pause = pause
        self._failures = 0
        self._next = 0.0
        self._state = threading.Lock()
        self._probe = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the server counts as away."""
        return self._failures >= self._limit

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Wait for one's turn, then try; what is raised as passing counts as a failure."""
        if not self.is_open:
            with self._counted():
                yield
            return
        with self._probe:
            if self.is_open:  # else the thread before has found it well
                time.sleep(max(0.0, self._next - time.monotonic()))
            with self._counted():
                yield

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except _PassingError:
            with self._state:
                self._failures += 1
                self._next = time.monotonic() + self._pause
            raise
        with self._state:
            self._failures = 0


class _PassingError(Exception):
    """A failure that is worth waiting for its end."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class _FailingError(_PassingError):
    """A failure that is worth a few tries."""


def _wait(state: tenacity.RetryCallState) -> float:
    """Jittered, so that workers do not come back together; at least what the server asks for."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.after if isinstance(error, _PassingError) else 0.0
    return max(asked, tenacity.wait_random_exponential(multiplier=0.1, max=10)(state))


class _StopFailing(tenacity.stop.stop_base):
    """Stops after a few tries on which the server itself failed."""

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        return isinstance(error, _FailingError) and state.attempt_number >= _FAILED_TRIES


def _untrusted(error: httpx.TransportError) -> str | None:
    """What no other try changes; a handshake that is cut off may pass."""
    if "CERTIFICATE_VERIFY_FAILED" not in str(error):
        return None
    return tls_problem(error, "registry.serving.ca_file")


def _retry_after(answer: httpx.Response) -> float:
    try:
        return min(max(float(answer.headers.get("Retry-After", 0)), 0.0), 60.0)
    except ValueError:  # a date: the usual wait does as well
        return 0.0


def _told(answer: httpx.Response) -> str:
    """What the server says, without the login, which a proxy may repeat."""
    text = answer.text
    for name, value in answer.request.headers.items():
        login = value.rpartition(" ")[2]
        if login and LOGIN_KEY.search(name):
            text = text.replace(login, "***")
    return f"{answer.status_code} {text[:_SHOWN]}".strip()


def _parsed(content: bytes) -> Any:
    """The answer's JSON; TensorFlow Serving writes NaN and Infinity, which msgspec refuses."""
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        pass
    try:
        return json.loads(content)
    except ValueError as error:
        shown = content[:_SHOWN].decode(errors="replace")
        raise _PassingError(f"half an answer: {shown!r}: {error}") from error


def _tls(settings: TensorFlowServing) -> ssl.SSLContext | bool:
    if urlsplit(settings.url).scheme != "https":
        return True
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.certificate_file is not None:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
    except OSError as error:
        raise ServiceError(
            f"can't read the certificates of registry.serving ({settings.ca_file}, "
            f"{settings.certificate_file}, {settings.key_file}): {error}"
        ) from error
    return context
