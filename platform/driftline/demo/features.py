"""The demo's feature transform: used alike by the stream and for training."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]

TEXTS = ("carrier", "origin", "dest")
NUMBERS = ("distance", "dep_delay", "temp", "dewp", "humid", "wind_speed")
MORE_NUMBERS = ("precip", "pressure", "visib")
WINDOWS = ("origin_departures_1h", "origin_mean_delay_1h")


def transform(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Features of departures.

    Parameters:
        batch: n events: the fields of `flights.FIELDS`, and from the feature query
            origin_departures_1h and origin_mean_delay_1h, the origin's departures and their mean
            delay over the last hour; null for an event that arrived too late for its window.

    Returns:
        n rows of text and numbers; null where an event lacks what a feature is made of.
    """
    minutes = _floats(batch, "hour") * 60 + _floats(batch, "minute")
    angle = minutes * (2 * np.pi / 1440)
    direction = np.radians(_floats(batch, "wind_dir"))
    speed = _floats(batch, "wind_speed")
    columns: dict[str, pa.Array] = {name: batch.column(name) for name in TEXTS}
    columns["hour"] = batch.column("hour")
    columns |= {name: batch.column(name) for name in (*NUMBERS, *MORE_NUMBERS)}
    columns |= {name: _numbers(_floats(batch, name)) for name in WINDOWS}
    columns |= {
        "time_sin": _numbers(np.sin(angle)),
        "time_cos": _numbers(np.cos(angle)),
        "distance_log": _numbers(np.log(np.maximum(_floats(batch, "distance"), 1))),
        # rounded, so that a calm is 0 and not 1e-16 to either side
        "wind_east": _numbers(np.round(-speed * np.sin(direction), 6)),
        "wind_north": _numbers(np.round(-speed * np.cos(direction), 6)),
    }
    return pa.RecordBatch.from_pydict(columns)


def _floats(batch: pa.RecordBatch, name: str) -> Floats:
    column = batch.column(name).cast(pa.float64())
    values: Floats = column.to_numpy(zero_copy_only=False)
    return values


def _numbers(values: Floats) -> pa.Array:
    """NaN as null."""
    return pa.array(values, pa.float64(), from_pandas=True)
