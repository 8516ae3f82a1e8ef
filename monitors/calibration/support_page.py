"""A page that shows what a reference supports: thresholds and changes that are found, by column."""

from collections.abc import Callable

from driftline import __version__
from driftline.monitors.calibration.support import Support


def _beyond(one: Support) -> float | None:
    if one.threshold is None or one.expected is None:
        return None
    return one.threshold - one.expected


#: What is drawn over the size of the window, a line for each column and length.
_PICTURES: dict[str, Callable[[Support], float | None]] = {
    "alarms so far from what is expected": _beyond,
    "change found in 90 % of windows": lambda one: one.detectable,
    "level, in what can be honoured": lambda one: (
        None if one.attainable is None else one.level / one.attainable
    ),
}


def page(title: str, looks: list[Support]) -> str:
    """HTML with Plotly inside; nothing is fetched from outside.

    Args:
        title: which reference.
        looks: any; each monitor gets a picture of its own.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    monitors = sorted({one.look.monitor for one in looks})
    titles = [f"{name}: {what}" for name in monitors for what in _PICTURES]
    figure = make_subplots(rows=max(len(monitors), 1), cols=len(_PICTURES), subplot_titles=titles)
    for row, name in enumerate(monitors, start=1):
        mine = [one for one in looks if one.look.monitor == name]
        for look in dict.fromkeys(one.look for one in mine):
            sizes = sorted((one for one in mine if one.look == look), key=lambda one: one.rows)
            label = f"{look.column}, {look.seconds / 3_600:g} h"
            for column, of in enumerate(_PICTURES.values(), start=1):
                line = go.Scatter(
                    x=[one.rows for one in sizes],
                    y=[of(one) for one in sizes],
                    mode="lines+markers",
                    name=label,
                    showlegend=False,
                )
                figure.add_trace(line, row=row, col=column)
        figure.update_xaxes(type="log", title="rows of a window", row=row)
        figure.update_yaxes(type="log", row=row, col=len(_PICTURES))
    figure.update_layout(
        title=f"driftline {__version__}: {title}", height=320 * max(len(monitors), 1)
    )
    text: str = figure.to_html(include_plotlyjs=True, full_html=True)
    return text
