"""Why TLS failed: a server that is not trusted is told apart from one that is not there."""

import re
import ssl

_EXPIRED = 10  # OpenSSL's codes of what is wrong with a certificate
_OTHER_NAME = (62, 64)  # of a host, of an IP address
# Python's own words end with a place in its source; libpq and librdkafka give no reason.
_TEXT = re.compile(r"certificate verify failed(?:: ([^(\n]+?) \(_ssl)?", re.IGNORECASE)
_NO_BUNDLE = "Could not find a suitable TLS CA certificate bundle"  # of requests
_NO_FILE = "Could not find the TLS certificate file"


def tls_problem(error: BaseException, ca_key: str) -> str | None:
    """What is wrong with TLS and what to do, or None where an error is about something else.

    Parameters:
        error: of any client, with the errors that it came from.
        ca_key: the key of `driftline.yaml` that names the authorities to trust.
    """
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause.verify_message, cause.verify_code, ca_key)
        if str(cause).startswith((_NO_BUNDLE, _NO_FILE)):
            return f"can't read the certificates: {cause}: see {ca_key}"
    return text_problem(str(error), ca_key) or _handshake(error, ca_key)


def text_problem(text: str, ca_key: str) -> str | None:
    """As `tls_problem`, of a client that gives no more than text."""
    found = _TEXT.search(text)
    return None if found is None else _untrusted(found[1] or "", 0, ca_key)


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
            return f"TLS fails ({reason}): check that it speaks TLS, and {ca_key}"
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """The error and all that it wraps, in whichever way its library wraps errors."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return found
