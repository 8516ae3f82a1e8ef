"""The page's server: loopback only, answers only its own page, knows no SQL from outside."""

import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from driftline import names
from driftline.config import Config
from driftline.dashboards.definitions.generate import PageError, pages
from driftline.dashboards.preview.access import Access
from driftline.dashboards.preview.ask import Ask, AskError, Page
from driftline.dashboards.preview.extent import extent
from driftline.dashboards.preview.reader import QueryError, Reader
from driftline.errors import DriftlineError

log = logging.getLogger("driftline.preview")
HOST = "127.0.0.1"
_STATIC = Path(__file__).parent / "static"
_BODY = 100_000  # bytes of a request, at most

# Styles inline: Plotly sets them as attributes.
_PAGE_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    " object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
# A report is somebody's HTML with scripts: it runs without an origin and reaches nothing.
_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval';"
    " style-src 'unsafe-inline'; img-src data: blob:; font-src data:; worker-src blob:"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",  # predictions, and whose turn at this browser is next?
}


class Preview:
    """The dashboards of a config over its database.

    Parameters:
        config: with a database that answers.
    """

    def __init__(self, config: Config) -> None:
        self.reader = Reader(config.local_postgres())
        self.pages: dict[str, Page] = {}
        for one in pages(config):
            if isinstance(one, PageError):
                log.warning("%s", one)
            else:
                self.pages[one["uid"]] = Page(one, self.reader)

    def app(self, token: str) -> Starlette:
        """The application.

        Parameters:
            token: lets in, see `Access`.
        """
        import plotly  # heavy, and only its one file is wanted

        script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

        async def plotly_script(_: Request) -> Response:
            return FileResponse(script, headers={"Cache-Control": "max-age=86400"})

        routes = [
            Route("/", lambda _: RedirectResponse(f"/d/{names.FLEET_UID}")),
            Route("/d/{uid}", self._page),
            Route("/api/dashboards", self._list),
            Route("/api/d/{uid}", self._dashboard),
            Route("/api/d/{uid}/{what}", self._ask, methods=["POST"]),
            Route("/reports/{number:int}", self._report),
            Route("/static/plotly.min.js", plotly_script),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ]
        hosts = [HOST, "localhost"]  # so that no page of another name can ask by DNS
        return Starlette(
            routes=routes,
            middleware=[
                Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
                Middleware(Access, token=token, headers=_HEADERS),
                Middleware(GZipMiddleware, minimum_size=2_000),
            ],
            exception_handlers={DriftlineError: _told},
        )

    async def _page(self, request: Request) -> Response:
        self._known(request)
        headers = {"Content-Security-Policy": _PAGE_POLICY}
        return FileResponse(_STATIC / "page.html", headers=headers)

    async def _list(self, _: Request) -> Response:
        return _json(
            [{"uid": uid, "title": page.dashboard["title"]} for uid, page in self.pages.items()]
        )

    async def _dashboard(self, request: Request) -> Response:
        return _json(self._known(request).dashboard)

    async def _ask(self, request: Request) -> Response:
        page = self._known(request)
        ask = await _asked(request)
        answers: dict[str, Callable[[], Any]] = {
            "panel": lambda: page.panel(ask),
            "variables": lambda: page.variables(ask),
            "annotations": lambda: page.annotations(ask),
            "extent": lambda: extent(self.reader, page.dashboard["uid"], _model(ask)),
        }
        what = request.path_params["what"]
        if what not in answers:
            raise AskError(f"nothing is called {what!r}")
        return _json(await run_in_threadpool(answers[what]))

    async def _report(self, request: Request) -> Response:
        number = request.path_params["number"]
        sql = "SELECT html FROM driftline.report WHERE id = %s"
        html = await run_in_threadpool(self.reader.bytes, sql, number)
        if html is None:
            raise AskError(f"no report {number}: 'driftline report' makes them")
        headers = {"Content-Security-Policy": _REPORT_POLICY}
        return Response(gzip.decompress(html), media_type="text/html", headers=headers)

    def _known(self, request: Request) -> Page:
        uid = request.path_params["uid"]
        if uid not in self.pages:
            raise AskError(f"no dashboard {uid!r} (there: {', '.join(list(self.pages)[:10])})")
        return self.pages[uid]


def _model(ask: Ask) -> str | None:
    model = ask.variables.get("model")
    return model if isinstance(model, str) and model else None


async def _asked(request: Request) -> Ask:
    """The request's JSON; other types are refused, as a foreign page could send those unasked."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise AskError("ask with JSON")
    try:
        return Ask.model_validate_json(await _body(request))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise AskError(f"can't read the request: {where}: {problem['msg']}") from None


async def _body(request: Request) -> bytes:
    """The body, of which no more is read than it may have: a chunked one does not say its size."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _BODY:
            raise AskError(f"a request has at most {_BODY} bytes")
    return bytes(body)


def _json(content: Any) -> Response:
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Response(text, media_type="application/json")


async def _told(_: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, AskError) else 400 if isinstance(error, QueryError) else 503
    return JSONResponse({"error": str(error)}, status)
