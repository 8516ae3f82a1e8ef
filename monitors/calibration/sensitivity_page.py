"""An HTML page with the sensitivity of a reference's tests: thresholds and detectable changes."""

from collections.abc import Callable

from driftline import __version__
from driftline.monitors.calibration.sensitivity import Sensitivity


def _threshold_change(test: Sensitivity) -> float | None:
    if test.threshold is None or test.expected is None:
        return None
    return test.threshold - test.expected


#: What is plotted over the window size, a line for each column and window length.
_PLOTS: dict[str, Callable[[Sensitivity], float | None]] = {
    "change that alarms": _threshold_change,
    "change detected in 90 % of windows": lambda test: test.detectable,
    "significance level / attainable level": lambda test: (
        None if test.attainable is None else test.level / test.attainable
    ),
}


def page(title: str, tests: list[Sensitivity]) -> str:
    """HTML that includes Plotly and fetches nothing from outside.

    Parameters:
        title: of the reference.
        tests: the tests to plot; each monitor has a row of plots.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    monitors = sorted({test.test.monitor for test in tests})
    titles = [f"{name}: {plot}" for name in monitors for plot in _PLOTS]
    figure = make_subplots(rows=max(len(monitors), 1), cols=len(_PLOTS), subplot_titles=titles)
    for row, name in enumerate(monitors, start=1):
        of_monitor = [test for test in tests if test.test.monitor == name]
        for key in dict.fromkeys(test.test for test in of_monitor):
            points = sorted((t for t in of_monitor if t.test == key), key=lambda test: test.rows)
            label = f"{key.column}, {key.seconds / 3_600:g} h"
            for column, value in enumerate(_PLOTS.values(), start=1):
                line = go.Scatter(
                    x=[point.rows for point in points],
                    y=[value(point) for point in points],
                    mode="lines+markers",
                    name=label,
                    showlegend=False,
                )
                figure.add_trace(line, row=row, col=column)
        figure.update_xaxes(type="log", title="rows per window", row=row)
        figure.update_yaxes(type="log", row=row, col=len(_PLOTS))
    figure.update_layout(
        title=f"driftline {__version__}: {title}", height=320 * max(len(monitors), 1)
    )
    text: str = figure.to_html(include_plotlyjs=True, full_html=True)
    return text
