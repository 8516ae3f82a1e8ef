"""Flink's REST API, asked by somebody who has its key."""

import json
import ssl
from contextlib import closing
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any


def ask(port: int, pem: Path, path: str, method: str = "GET") -> Any:
    """An answer: what its JSON holds, or else its text; None where nobody answers.

    Parameters:
        port: on 127.0.0.1.
        pem: the key and the certificate, which the server has too.
    """
    context = ssl.create_default_context(cafile=str(pem))
    context.load_cert_chain(pem)
    with closing(HTTPSConnection("127.0.0.1", port, timeout=10, context=context)) as connection:
        try:
            connection.request(method, path)
            text = connection.getresponse().read().decode()
        except (OSError, HTTPException):
            return None
    return json.loads(text) if text.startswith(("{", "[")) else text
