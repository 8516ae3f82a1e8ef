"""Rows as Evidently datasets. Importing Evidently takes seconds, so it is imported on first use.

Evidently 0.7 sends usage data from its own services, not from the library; it is disabled anyway,
here and, by an environment variable, in every child process.
"""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from driftline import names
from driftline.monitors.raw_rows.comparable_columns import is_number, is_rounded
from driftline.storage.monitoring.window_sample import LABEL

if TYPE_CHECKING:
    from evidently import DataDefinition, Dataset

#: Set before Evidently is imported; any value counts.
NO_TELEMETRY = "DO_NOT_TRACK"


def disable_telemetry() -> None:
    """Disable usage data of this process and its children."""
    os.environ.setdefault(NO_TELEMETRY, "1")


def dataset(table: pa.Table, columns: list[str], *, labelled: bool = False) -> "Dataset":
    """An Evidently dataset: numbers, and categories for texts and bools.

    Parameters:
        table: n rows.
        columns: the columns to include.
        labelled: also include the column `label`, and only rows that have one.
    """
    disable_telemetry()
    from evidently import Dataset

    frame = pd.DataFrame({name: _series(table[name]) for name in columns})
    if not labelled:
        return Dataset.from_pandas(frame, data_definition=_definition(table, columns))
    label = pd.Series(table[LABEL].to_numpy())
    frame, label = frame[label.notna()], label[label.notna()]
    frame[LABEL] = label.astype(int) if is_classification(table) else label
    return Dataset.from_pandas(frame, data_definition=_definition(table, columns, labelled=True))


def is_classification(table: pa.Table) -> bool:
    """Whether the labels are 0 and 1 and the scores from 0 to 1."""
    label, score = table[LABEL].to_numpy(), table[names.SCORE].to_numpy()
    labelled = np.isfinite(label)
    scores = score[labelled]
    return bool(np.isin(label[labelled], (0, 1)).all() and ((scores >= 0) & (scores <= 1)).all())


def labels(table: pa.Table) -> int:
    """The number of rows with a label."""
    if LABEL not in table.column_names:
        return 0
    return int(np.isfinite(table[LABEL].to_numpy()).sum())


def _definition(table: pa.Table, columns: list[str], *, labelled: bool = False) -> "DataDefinition":
    from evidently import BinaryClassification, DataDefinition, Regression

    numbers = [name for name in columns if is_number(table[name].type)]
    categories = [name for name in columns if name not in numbers]
    if not labelled:
        return DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    if is_classification(table):
        task = BinaryClassification(target=LABEL, prediction_probas=names.SCORE)
        return DataDefinition(
            numerical_columns=numbers,
            categorical_columns=[*categories, LABEL],
            classification=[task],
        )
    return DataDefinition(
        numerical_columns=[*numbers, LABEL],
        categorical_columns=categories,
        regression=[Regression(target=LABEL, prediction=names.SCORE)],
    )


def _series(column: pa.ChunkedArray) -> "pd.Series[Any]":
    """A column with infinities as missing, since Evidently's bins fail on them; integers exact."""
    if is_rounded(column):
        exact: pd.Series[Any] = column.to_pandas(types_mapper={column.type: pd.Int64Dtype()}.get)
        return exact
    if is_number(column.type):
        values = column.cast(pa.float64(), safe=False).to_numpy()
        return pd.Series(np.where(np.isfinite(values), values, np.nan))
    return pd.Series(column.cast(pa.string()).to_pandas(), dtype=object)
