"""The ping to a dead man's switch, an outside service that alerts when pings stop."""

import logging
import threading
import time

import httpx
from tenacity import retry, stop_after_attempt, wait_random_exponential

from driftline.config.types import Secret
from driftline.tls_errors import tls_problem

log = logging.getLogger(__name__)

_INTERVAL = 30.0  # seconds; switches count in minutes


class Heartbeat:
    """Requests a URL after successful rounds, in a thread so that a slow answer delays nothing.

    Parameters:
        address: a secret, because whoever knows it can fake a heartbeat; None: no requests.
    """

    def __init__(self, address: Secret | None) -> None:
        self._address = address
        self._last = -_INTERVAL
        self._thread: threading.Thread | None = None
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log the address

    def beat(self) -> None:
        """Report a successful round."""
        busy = self._thread is not None and self._thread.is_alive()
        if self._address is None or busy or time.monotonic() - self._last < _INTERVAL:
            return
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._ping, args=(self._address,), daemon=True)
        self._thread.start()

    def _ping(self, address: Secret) -> None:
        try:
            _request(address.read())
        except Exception as error:  # the address is in its text
            reason = tls_problem(error, "SSL_CERT_FILE") or type(error).__name__
            log.warning("the dead man's switch did not answer (%s)", reason)


@retry(stop=stop_after_attempt(3), wait=wait_random_exponential(max=5), reraise=True)
def _request(address: str) -> None:
    httpx.get(address, timeout=5.0, follow_redirects=True).raise_for_status()
