"""Convert the rows of a statement to series as Grafana does."""

from typing import Any

from driftline.dashboards.preview.reader import Answer

Series = dict[str, Any]


def series(answer: Answer) -> list[Series]:
    """One series per number column and value of the text column `metric`.

    Returns:
        `{"name", "x": milliseconds, "y": numbers}`, in the order of first occurrence.
    """
    time = answer.kinds.index("time") if "time" in answer.kinds else 0
    texts = [i for i, kind in enumerate(answer.kinds) if kind == "text"]
    numbers = [i for i, kind in enumerate(answer.kinds) if kind == "number"]
    by_name: dict[str, Series] = {}
    for row in answer.rows:
        for number in numbers:
            name = " ".join(str(row[i]) for i in texts) or answer.columns[number]
            points = by_name.setdefault(name, {"name": name, "x": [], "y": []})
            points["x"].append(row[time])
            points["y"].append(row[number])
    return [points for points in by_name.values() if any(y is not None for y in points["y"])]


def table(answer: Answer) -> dict[str, Any]:
    """The columns with their kinds, and the rows."""
    columns = [
        {"name": name, "kind": kind}
        for name, kind in zip(answer.columns, answer.kinds, strict=True)
    ]
    return {"columns": columns, "rows": answer.rows}
