"""Every command: the only place that knows Typer and Rich."""
