"""Runs NannyML on the flights, in a separate environment; driftline never imports it.

With its defaults: one chunk per day, Jensen-Shannon distance, limits three standard deviations
around the reference chunks' mean.
"""

import json
import sys

import nannyml
import pandas as pd
from pandas.api.types import is_numeric_dtype

nannyml.disable_usage_logging()


def main(path: str) -> None:
    rows = pd.read_parquet(path)
    alarms: dict[str, dict[str, bool]] = {}
    columns = [name for name in rows.columns if name not in ("time", "in_reference")]
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=columns,
        timestamp_column_name="time",
        chunk_period="D",
        continuous_methods=["jensen_shannon"],
        categorical_methods=["jensen_shannon"],
        treat_as_categorical=[name for name in columns if not is_numeric_dtype(rows[name])],
    )
    calculator.fit(rows[rows["in_reference"]].drop(columns="in_reference"))
    results = calculator.calculate(rows[~rows["in_reference"]].drop(columns="in_reference"))
    table = results.filter(period="analysis").to_df()
    days = pd.to_datetime(table["chunk", "chunk", "start_date"]).dt.strftime("%Y-%m-%d")
    for name in columns:
        alerts = table[name, "jensen_shannon", "alert"].astype(bool)
        alarms[name] = dict(zip(days, map(bool, alerts), strict=True))
    json.dump(alarms, sys.stdout)


main(sys.argv[1])
