"""A page that shows what a reference supports: thresholds and changes that are found, by column."""

from driftline import __version__
from monitors.calibration.support import Support


def page(title: str, looks: list[Support]) -> str:
    """HTML with Plotly inside; nothing is fetched from outside.

    Args:
        title: which reference.
        looks: any; each monitor gets a picture of its own.
    """
    import plotly.graph_objects as go  # noqa: PLC0415 - heavy
    from plotly.subplots import make_subplots  # noqa: PLC0415 - heavy

    names = sorted({one.look.monitor for one in looks})
    figure = make_subplots(
        rows=max(len(names), 1),
        cols=2,
        subplot_titles=[
            f"{name}: {what}" for name in names for what in ("level and attainable", "change found")
        ],
    )
    for row, name in enumerate(names, start=1):
        mine = [one for one in looks if one.look.monitor == name]
        where = [f"{one.look.column}, {one.rows:,.0f} rows" for one in mine]
        for label, values in (
            ("level", [one.level for one in mine]),
            ("attainable", [one.attainable for one in mine]),
        ):
            scatter = go.Scatter(x=where, y=values, mode="markers", name=label, showlegend=row == 1)
            figure.add_trace(scatter, row=row, col=1)
        bars = go.Bar(x=where, y=[one.detectable for one in mine], name="change", showlegend=False)
        figure.add_trace(bars, row=row, col=2)
        figure.update_yaxes(type="log", row=row, col=1)
    figure.update_layout(
        title=f"driftline {__version__}: {title}", height=320 * max(len(names), 1), barmode="group"
    )
    text: str = figure.to_html(include_plotlyjs=True, full_html=True)
    return text
