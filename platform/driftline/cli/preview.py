"""`driftline preview`."""

from pathlib import Path
from typing import Annotated

import typer

from driftline import names


def preview(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="On this machine only.")
    ] = names.PREVIEW_PORT,
    browse: Annotated[bool, typer.Option("--open", help="Open the browser.")] = False,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The config file.", envvar="DRIFTLINE_CONFIG")
    ] = Path("driftline.yaml"),
) -> None:
    """Show the dashboards on a local page, without Grafana, until Ctrl-C."""
    from driftline.config import load
    from driftline.dashboards.preview import access
    from driftline.dashboards.preview.serve import serve

    loaded = load(config)
    token = access.new_token()
    typer.echo(f"{access.link(f'http://127.0.0.1:{port}', token)}  (Ctrl-C ends it)")
    serve(loaded, port, token, browse=browse)
