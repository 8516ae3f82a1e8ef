"""Who may read the preview: whoever has its token. Any user of the machine can reach its port."""

import os
import secrets
from collections.abc import Mapping
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

VARIABLE = "DRIFTLINE_PREVIEW_TOKEN"
_QUERY = "token"


def new_token() -> str:
    """The token of the environment, for a proxy that is to know it, else a random one."""
    return os.environ.get(VARIABLE) or secrets.token_urlsafe(32)


def link(address: str, token: str) -> str:
    """What to open first: it leaves the token with the browser."""
    return f"{address}/?{_QUERY}={quote(token, safe='')}"


class Access:
    """Answers only requests with the token: as a cookie, a bearer token, or once in the address.

    Parameters:
        app: what is behind it.
        token: see `new_token`.
        headers: of every answer, where it does not set its own.
    """

    def __init__(self, app: ASGIApp, token: str, headers: Mapping[str, str]) -> None:
        self._app = app
        self._token = token.encode()
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Of ASGI."""

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                made = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    made.setdefault(name, value)
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._answer(Request(scope))
        await (self._app if answer is None else answer)(scope, receive, headed)

    def _answer(self, request: Request) -> Response | None:
        """Nothing for who is let in."""
        # browsers share cookies among the ports of a host
        cookie = f"driftline-preview-{request.url.port or 80}"
        if self._is(request.query_params.get(_QUERY)):
            found = RedirectResponse(str(request.url.remove_query_params(_QUERY)), 303)
            found.set_cookie(cookie, self._token.decode(), httponly=True, samesite="lax")
            return found
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._is(request.cookies.get(cookie)) or self._is(bearer):
            return None
        text = "Open the address that 'driftline preview' has printed: its token lets you in."
        return PlainTextResponse(text, 401)

    def _is(self, given: str | None) -> bool:
        return given is not None and secrets.compare_digest(given.encode(), self._token)
