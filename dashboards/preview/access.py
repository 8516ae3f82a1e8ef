"""Access control of the preview by a token, because any user of the machine can reach its port."""

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
    """The token in the environment, which a proxy can know as well, or a random one."""
    return os.environ.get(VARIABLE) or secrets.token_urlsafe(32)


def link(address: str, token: str) -> str:
    """The URL to open first: it stores the token in the browser as a cookie."""
    return f"{address}/?{_QUERY}={quote(token, safe='')}"


class Access:
    """Accept only requests with the token: as a cookie, a bearer token, or once in the URL.

    Parameters:
        app: the protected application.
        token: see `new_token`.
        headers: added to each response that does not set them.
    """

    def __init__(self, app: ASGIApp, token: str, headers: Mapping[str, str]) -> None:
        self._app = app
        self._token = token.encode()
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        denial = self._denial(Request(scope))
        await (self._app if denial is None else denial)(scope, receive, send_with_headers)

    def _denial(self, request: Request) -> Response | None:
        """The response to a request without the cookie or bearer token; None if it may pass."""
        # the port in the name: browsers share cookies among the ports of a host
        cookie = f"driftline-preview-{request.url.port or 80}"
        if self._matches(request.query_params.get(_QUERY)):
            redirect = RedirectResponse(str(request.url.remove_query_params(_QUERY)), 303)
            redirect.set_cookie(cookie, self._token.decode(), httponly=True, samesite="lax")
            return redirect
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._matches(request.cookies.get(cookie)) or self._matches(bearer):
            return None
        text = "Open the address that 'driftline preview' printed: it contains the required token."
        return PlainTextResponse(text, 401)

    def _matches(self, token: str | None) -> bool:
        return token is not None and secrets.compare_digest(token.encode(), self._token)
