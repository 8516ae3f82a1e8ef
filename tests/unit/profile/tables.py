"""Random batches with everything that a column can hold."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

MINUTE = 60_000_000
START = 1_365_000_000_000_000

NUMBERS = st.one_of(
    st.none(),
    st.integers(-3, 3).map(float),
    st.floats(-100, 100),
    st.sampled_from([1e308, -1e308, float("inf"), float("-inf"), float("nan"), 0.0, -0.0, 5e-324]),
)
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "", "new", "ä"]))
ROW = st.fixed_dictionaries(
    {
        "event_time": st.integers(-3 * MINUTE, 5 * MINUTE),
        "x": NUMBERS,
        "n": st.one_of(st.none(), st.integers(-5, 5), st.just(2**62)),
        "c": TEXTS,
        "b": st.one_of(st.none(), st.booleans()),
        "score": st.one_of(st.none(), st.floats(0, 1), st.just(float("nan"))),
        "inference_ms": st.floats(0, 1e9, width=32),
        "lag_ms": st.floats(-1000, 1e9, width=32),
    }
)
SCHEMA = pa.schema(
    [
        ("event_time", pa.timestamp("us", tz="UTC")),
        ("x", pa.float64()),
        ("n", pa.int64()),
        ("c", pa.string()),
        ("b", pa.bool_()),
        ("score", pa.float64()),
        ("inference_ms", pa.float32()),
        ("lag_ms", pa.float32()),
    ]
)
FEATURES = ["x", "n", "c", "b"]


def batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Rows as drawn from `ROW`."""
    times = [START + row["event_time"] for row in rows]
    arrays = [pa.array(times, SCHEMA.field("event_time").type)]
    arrays += [pa.array([row[f.name] for row in rows], f.type) for f in list(SCHEMA)[1:]]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


BATCHES = st.lists(ROW, max_size=40).map(batch)


def reference(rows: int = 2_000, seed: int = 7) -> pa.RecordBatch:
    """An ordinary batch to freeze a binning from."""
    random = np.random.default_rng(seed)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(START + random.integers(0, 90 * MINUTE, rows), SCHEMA.field(0).type),
            pa.array(random.normal(size=rows) * 3, mask=random.random(rows) < 0.1),
            pa.array(random.integers(-5, 5, rows)),
            pa.array(random.choice(["a", "b", "c", ""], rows, p=[0.6, 0.2, 0.15, 0.05])),
            pa.array(random.random(rows) < 0.2),
            pa.array(random.random(rows)),
            pa.array(random.gamma(2, 2, rows).astype(np.float32)),
            pa.array(random.gamma(2, 40, rows).astype(np.float32)),
        ],
        schema=SCHEMA,
    )
