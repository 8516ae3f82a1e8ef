"""`driftline preview`."""

from typing import Annotated

import typer

from driftline import names
from driftline.cli.options import DEFAULT_CONFIG, ConfigPath


def preview(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port to listen on, on loopback only.")
    ] = names.PREVIEW_PORT,
    browse: Annotated[
        bool, typer.Option("--open", help="Open the dashboards in a browser.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Serve the dashboards on this machine, without Grafana, until Ctrl-C."""
    from driftline.config import load
    from driftline.dashboards.preview import access
    from driftline.dashboards.preview.serve import serve

    loaded = load(config)
    token = access.new_token()
    typer.echo(f"{access.link(f'http://127.0.0.1:{port}', token)}  (Ctrl-C to stop)")
    serve(loaded, port, token, browse=browse)
