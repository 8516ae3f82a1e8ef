"""Rows of a statement as the series that Grafana would make of them."""

from typing import Any

from driftline.dashboards.preview.reader import Answer

Series = dict[str, Any]


def series(answer: Answer) -> list[Series]:
    """One series for each number column and each value of the text column `metric`.

    Returns:
        `{"name", "x": milliseconds, "y": numbers}`, in the order in which they first occur.
    """
    time = answer.kinds.index("time") if "time" in answer.kinds else 0
    texts = [i for i, kind in enumerate(answer.kinds) if kind == "text"]
    numbers = [i for i, kind in enumerate(answer.kinds) if kind == "number"]
    found: dict[str, Series] = {}
    for row in answer.rows:
        for number in numbers:
            name = " ".join(str(row[i]) for i in texts) or answer.columns[number]
            one = found.setdefault(name, {"name": name, "x": [], "y": []})
            one["x"].append(row[time])
            one["y"].append(row[number])
    return [one for one in found.values() if any(y is not None for y in one["y"])]


def table(answer: Answer) -> dict[str, Any]:
    """Columns with their kinds, and the rows."""
    columns = [
        {"name": name, "kind": kind}
        for name, kind in zip(answer.columns, answer.kinds, strict=True)
    ]
    return {"columns": columns, "rows": answer.rows}
