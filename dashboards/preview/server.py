"""The web server of the preview: loopback only, requests only from its page, no SQL accepted."""

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
from driftline.dashboards.definitions.generate import DashboardError, generate_each
from driftline.dashboards.preview.access import Access
from driftline.dashboards.preview.extent import extent
from driftline.dashboards.preview.panel_data import DashboardData, DataRequest, RequestError
from driftline.dashboards.preview.reader import QueryError, Reader
from driftline.errors import DriftlineError

log = logging.getLogger("driftline.preview")
HOST = "127.0.0.1"
_STATIC = Path(__file__).parent / "static"
_MAX_BODY = 100_000  # bytes of a request

# Inline styles are allowed, because Plotly sets style attributes.
_PAGE_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    " object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
# A report is untrusted HTML with scripts: it runs without an origin and without network access.
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
    "Cache-Control": "no-store",  # predictions must not remain in a shared browser's cache
}


class Preview:
    """The dashboards of a config with the data of its database.

    Parameters:
        config: its database must be available.
    """

    def __init__(self, config: Config) -> None:
        self.reader = Reader(config.local_postgres())
        self.dashboards: dict[str, DashboardData] = {}
        for dashboard in generate_each(config):
            if isinstance(dashboard, DashboardError):
                log.warning("%s", dashboard)
            else:
                self.dashboards[dashboard["uid"]] = DashboardData(dashboard, self.reader)

    def app(self, token: str) -> Starlette:
        """The ASGI application.

        Parameters:
            token: required for access, see `Access`.
        """
        import plotly  # imported here because it is slow; only its script file is used

        script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

        async def plotly_script(_: Request) -> Response:
            return FileResponse(script, headers={"Cache-Control": "max-age=86400"})

        routes = [
            Route("/", lambda _: RedirectResponse(f"/d/{names.FLEET_UID}")),
            Route("/d/{uid}", self._page),
            Route("/api/dashboards", self._list),
            Route("/api/d/{uid}", self._dashboard),
            Route("/api/d/{uid}/{resource}", self._data, methods=["POST"]),
            Route("/reports/{number:int}", self._report),
            Route("/static/plotly.min.js", plotly_script),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ]
        hosts = [HOST, "localhost"]  # against DNS rebinding
        return Starlette(
            routes=routes,
            middleware=[
                Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
                Middleware(Access, token=token, headers=_HEADERS),
                Middleware(GZipMiddleware, minimum_size=2_000),
            ],
            exception_handlers={DriftlineError: _error_response},
        )

    async def _page(self, request: Request) -> Response:
        self._dashboard_data(request)
        headers = {"Content-Security-Policy": _PAGE_POLICY}
        return FileResponse(_STATIC / "page.html", headers=headers)

    async def _list(self, _: Request) -> Response:
        dashboards = [data.dashboard for data in self.dashboards.values()]
        return _json([{"uid": board["uid"], "title": board["title"]} for board in dashboards])

    async def _dashboard(self, request: Request) -> Response:
        return _json(self._dashboard_data(request).dashboard)

    async def _data(self, request: Request) -> Response:
        data = self._dashboard_data(request)
        parsed = await _parsed(request)
        resources: dict[str, Callable[[], Any]] = {
            "panel": lambda: data.panel(parsed),
            "variables": lambda: data.variables(parsed),
            "annotations": lambda: data.annotations(parsed),
            "extent": lambda: extent(self.reader, data.dashboard["uid"], _model(parsed)),
        }
        resource = request.path_params["resource"]
        if resource not in resources:
            raise RequestError(f"no resource {resource!r}: use one of {', '.join(resources)}")
        return _json(await run_in_threadpool(resources[resource]))

    async def _report(self, request: Request) -> Response:
        number = request.path_params["number"]
        sql = "SELECT html FROM driftline.report WHERE id = %s"
        html = await run_in_threadpool(self.reader.bytes, sql, number)
        if html is None:
            raise RequestError(f"no report {number}: run 'driftline report' to create one")
        headers = {"Content-Security-Policy": _REPORT_POLICY}
        return Response(gzip.decompress(html), media_type="text/html", headers=headers)

    def _dashboard_data(self, request: Request) -> DashboardData:
        uid = request.path_params["uid"]
        if uid not in self.dashboards:
            uids = ", ".join(list(self.dashboards)[:10])
            raise RequestError(f"no dashboard {uid!r}: open one of {uids}")
        return self.dashboards[uid]


def _model(request: DataRequest) -> str | None:
    model = request.variables.get("model")
    return model if isinstance(model, str) and model else None


async def _parsed(request: Request) -> DataRequest:
    """Parse the JSON request; other types are rejected, as a foreign page could send those."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise RequestError("the request is not JSON: set Content-Type: application/json")
    try:
        return DataRequest.model_validate_json(await _body(request))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(map(str, problem["loc"]))
        raise RequestError(f"can't read the request: {field}: {problem['msg']}") from None


async def _body(request: Request) -> bytes:
    """Read the body up to the limit, because a chunked request does not declare its size."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY:
            raise RequestError(f"the request is too large: at most {_MAX_BODY} bytes are accepted")
    return bytes(body)


def _json(content: Any) -> Response:
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Response(text, media_type="application/json")


async def _error_response(_: Request, error: Exception) -> Response:
    statuses: dict[type[Exception], int] = {RequestError: 404, QueryError: 400}
    return JSONResponse({"error": str(error)}, statuses.get(type(error), 503))
