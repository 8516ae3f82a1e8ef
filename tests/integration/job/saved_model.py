"""A small real model: its score can be computed again in SQL."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

FEATURES = pa.schema([("amount", pa.float64()), ("items", pa.int64()), ("country", pa.string())])
EXPECTED_SCORE = "0.5 * coalesce(amount, 0) + items"  # what the model computes, as SQL


def save(folder: Path, factor: float = 0.5) -> Path:
    """Export score = factor * amount + items, where a missing amount counts nothing."""
    import tensorflow as tf

    module = tf.Module()
    module.factor = tf.Variable(factor)
    specs = [
        tf.TensorSpec([None], tf.float32, "amount"),
        tf.TensorSpec([None], tf.int64, "items"),
        tf.TensorSpec([None], tf.string, "country"),
    ]

    def serve(amount: Any, items: Any, country: Any) -> dict[str, Any]:
        filled = tf.where(tf.math.is_nan(amount), 0.0, amount)
        return {"score": module.factor * filled + tf.cast(items, tf.float32)}

    module.serve = tf.function(serve, input_signature=specs)
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def reference(n: int = 5_000) -> pa.Table:
    """Features as the training data would have them."""
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "amount": rng.uniform(0, 50, n),
            "items": rng.integers(0, 5, n),
            "country": rng.choice(["de", "fr", "it"], n),
        },
        schema=FEATURES,
    )
