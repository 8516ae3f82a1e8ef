"""HTTP client of a model server: transient failures are retried, permanent ones are raised."""

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

_TRANSIENT = frozenset({404, 408, 425, 429, 502, 503, 504})  # 404: the model is being (re)loaded
_MISCONFIGURED = frozenset({401, 403, 405})
_SERVER_ERROR_ATTEMPTS = 3  # a 500 may be transient, or caused by one row that the model fails on
_QUOTED = 200  # characters of a response that an error quotes


class RequestRejectedError(RegistryError):
    """The server rejects this request; it may accept others.

    Attributes:
        status: the HTTP status code.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class HttpClient:
    """A client of one server, for use by many threads.

    Parameters:
        settings: address, time limits, login.

    Raises:
        ConfigError: a header's secret cannot be read.
        ServiceError: a certificate cannot be read.
    """

    def __init__(self, settings: TensorFlowServing) -> None:
        self._settings = settings
        self._retry_for = settings.retry_for
        self._breaker = CircuitBreaker()
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
            verify=_tls_context(settings),
        )

    def with_retry_for(self, retry_for: timedelta) -> Self:
        """The same client, with the same connections, but another limit for retries."""
        client = copy(self)
        client._retry_for = retry_for
        return client

    def get(self, path: str) -> Any:
        """The JSON at a path; see `post`."""
        return self._request_with_retries("GET", path, None)

    def post(self, path: str, content: bytes) -> Any:
        """Send JSON and return the JSON of the response.

        Blocks while the server is unavailable or overloaded, or truncates its responses: this is
        the backpressure that avoids data loss.

        Raises:
            RequestRejectedError: the server rejects this request, or fails on it each time.
            ServiceError: it accepts no request at all, or was unavailable for `retry_for`.
        """
        return self._request_with_retries("POST", path, content)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request_with_retries(self, method: str, path: str, content: bytes | None) -> Any:
        limit = self._retry_for.total_seconds()
        retrying = tenacity.Retrying(
            stop=tenacity.stop_any(tenacity.stop_after_delay(limit), _StopAfterServerErrors()),
            wait=_wait,
            retry=tenacity.retry_if_exception_type(_TransientError),
            reraise=True,
        )
        try:
            return retrying(self._request, method, path, content)
        except _ServerError as error:
            raise RequestRejectedError(f"{self._url(path)} fails: {error}", 500) from error
        except _TransientError as error:
            raise ServiceError(
                f"{self._url(path)} gave no valid response within {limit:g} s: {error} (check that "
                "it runs and serves the model; see url, name and version of registry.serving)"
            ) from error

    def _request(self, method: str, path: str, content: bytes | None) -> Any:
        with self._breaker.attempt():
            try:
                response = self._client.request(
                    method, path, content=content, headers={"Content-Type": "application/json"}
                )
            except httpx.TransportError as error:  # refused, reset, timed out, cut off
                if (problem := _certificate_problem(error)) is not None:
                    raise ServiceError(f"{self._url(path)}: {problem}") from error
                raise _TransientError(f"{type(error).__name__}: {error}") from error
            status = response.status_code
            if status in _TRANSIENT and (method != "GET" or status != 404):
                raise _TransientError(_quote(response), _retry_after(response))
            if status >= 500:
                raise _ServerError(_quote(response))
            if response.is_success:
                return _parse(response.content)
        if status in _MISCONFIGURED or response.is_redirect:
            raise ServiceError(
                f"{self._url(path)} does not accept requests: {_quote(response)} (check "
                "registry.serving.url and headers)"
            )
        message = f"{self._url(path)} rejected the request: {_quote(response)}"
        raise RequestRejectedError(message, status)

    def _url(self, path: str) -> str:
        return f"the model server at {self._settings.url.rstrip('/')}{path}"


class CircuitBreaker:
    """Protects an unavailable server: after repeated failures only one thread at a time retries.

    Parameters:
        limit: the number of consecutive failures that opens it.
        pause: seconds between two attempts while it is open.
    """

    def __init__(self, limit: int = 5, pause: float = 1.0) -> None:
        self._limit = limit
        self._pause = pause
        self._failures = 0
        self._next_attempt = 0.0
        self._state = threading.Lock()
        self._probe = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the server counts as unavailable."""
        return self._failures >= self._limit

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Wait for permission, then run the request; a transient error counts as a failure."""
        if not self.is_open:
            with self._count_failure():
                yield
            return
        with self._probe:
            if self.is_open:  # otherwise the previous thread's request has succeeded
                time.sleep(max(0.0, self._next_attempt - time.monotonic()))
            with self._count_failure():
                yield

    @contextmanager
    def _count_failure(self) -> Iterator[None]:
        try:
            yield
        except _TransientError:
            with self._state:
                self._failures += 1
                self._next_attempt = time.monotonic() + self._pause
            raise
        with self._state:
            self._failures = 0


class _TransientError(Exception):
    """A failure to retry until it ends."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class _ServerError(_TransientError):
    """A failure to retry a few times."""


def _wait(state: tenacity.RetryCallState) -> float:
    """Jittered, so that workers do not retry together; at least what the server asks for."""
    error = state.outcome.exception() if state.outcome else None
    retry_after = error.retry_after if isinstance(error, _TransientError) else 0.0
    return max(retry_after, tenacity.wait_random_exponential(multiplier=0.1, max=10)(state))


class _StopAfterServerErrors(tenacity.stop.stop_base):
    """Stops after a few attempts if the server itself failed."""

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        return isinstance(error, _ServerError) and state.attempt_number >= _SERVER_ERROR_ATTEMPTS


def _certificate_problem(error: httpx.TransportError) -> str | None:
    """A certificate error, which no retry fixes; an interrupted handshake may be transient."""
    if "CERTIFICATE_VERIFY_FAILED" not in str(error):
        return None
    return tls_problem(error, "registry.serving.ca_file")


def _retry_after(response: httpx.Response) -> float:
    try:
        return min(max(float(response.headers.get("Retry-After", 0)), 0.0), 60.0)
    except ValueError:  # a date: the default wait is good enough
        return 0.0


def _quote(response: httpx.Response) -> str:
    """Status and text of a response, without the credentials, which a proxy may repeat."""
    text = response.text
    for name, value in response.request.headers.items():
        secret = value.rpartition(" ")[2]
        if secret and LOGIN_KEY.search(name):
            text = text.replace(secret, "***")
    return f"{response.status_code} {text[:_QUOTED]}".strip()


def _parse(content: bytes) -> Any:
    """The JSON of a response; TensorFlow Serving writes NaN and Infinity, invalid for msgspec."""
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        pass
    try:
        return json.loads(content)
    except ValueError as error:
        excerpt = content[:_QUOTED].decode(errors="replace")
        raise _TransientError(f"truncated response {excerpt!r}: {error}") from error


def _tls_context(settings: TensorFlowServing) -> ssl.SSLContext | bool:
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
