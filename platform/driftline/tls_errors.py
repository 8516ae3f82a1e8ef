"""Why TLS failed: distinguishes an untrusted server from an unreachable one."""

import re
import ssl

_EXPIRED = 10  # OpenSSL's codes of what is wrong with a certificate
_OTHER_NAME = (62, 64)  # of a host, of an IP address
# Python's message ends with a location in its source; libpq and librdkafka give no reason.
_TEXT = re.compile(r"certificate verify failed(?:: ([^(\n]+?) \(_ssl)?", re.IGNORECASE)
_NO_BUNDLE = "Could not find a suitable TLS CA certificate bundle"  # of requests
_NO_FILE = "Could not find the TLS certificate file"


def tls_problem(error: BaseException, ca_key: str) -> str | None:
    """What is wrong with TLS and what to do, or None where an error is about something else.

    Parameters:
        error: of any client, with the errors that caused it.
        ca_key: the key of `driftline.yaml` that names the authorities to trust.
    """
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause.verify_message, cause.verify_code, ca_key)
        if str(cause).startswith((_NO_BUNDLE, _NO_FILE)):
            return f"can't read the certificates: {cause}: see {ca_key}"
    return text_problem(str(error), ca_key) or _handshake(error, ca_key)


def text_problem(text: str, ca_key: str) -> str | None:
    """As `tls_problem`, for a client that reports only text."""
    match = _TEXT.search(text)
    return None if match is None else _untrusted(match[1] or "", 0, ca_key)


def _untrusted(reason: str, code: int, ca_key: str) -> str:
    shown = f" ({reason})" if reason else ""
    if code == _EXPIRED:
        return f"its certificate has expired{shown}: renew it"
    if code in _OTHER_NAME:
        return f"its certificate is for another name{shown}: use the name that the certificate has"
    return f"its certificate is not trusted{shown}: set {ca_key} to its authority's PEM file"


def _handshake(error: BaseException, ca_key: str) -> str | None:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            reason = cause.reason or str(cause)
            return f"TLS failed ({reason}): check that the server uses TLS, and {ca_key}"
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """The error and all that it wraps, in whichever way its library wraps errors."""
    causes: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        item = queue.pop(0)
        if isinstance(item, BaseException) and item not in causes:
            causes.append(item)
            queue += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
    return causes
