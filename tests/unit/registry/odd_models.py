"""SavedModels of amount, items and country that go wrong in one way each, on `amount` 13."""

from pathlib import Path
from typing import Any

UNLUCKY = 13.0


def save(folder: Path, kind: str = "", factor: float = 0.5, rows: int = 0) -> Path:
    """Score = factor * amount + items, but where it goes wrong.

    Parameters:
        kind: "" for never, "raises", "nan", "hangs", or always: "eats" 8 GiB of memory, "slow" for
            many times as long.
        rows: on batches of at least N rows; 0 on those with an unlucky amount.
    """
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
        score = module.factor * filled + tf.cast(items, tf.float32)
        odd = tf.size(amount) >= rows if rows else tf.reduce_any(filled == UNLUCKY)
        if kind == "raises":
            with tf.control_dependencies([tf.debugging.Assert(tf.logical_not(odd), ["boom"])]):
                score = tf.identity(score)
        elif kind == "nan":
            score = tf.where(odd, tf.constant(float("nan")), score)
        elif kind == "hangs":
            turns = tf.while_loop(lambda i: tf.logical_and(odd, i >= 0), lambda i: i * 1, [0])
            score += tf.cast(turns[0], tf.float32)
        elif kind == "eats":  # none of it is touched: the machine does not run short
            memory = tf.raw_ops.Empty(shape=[4, 2**29], dtype=tf.float32, init=False)
            score += 0.0 * memory[0, 0]
        elif kind == "slow":
            square = tf.ones([200, 200])
            turns = tf.while_loop(
                lambda i, _: i < 400, lambda i, x: (i + 1, x @ x / 200.0), [0, square]
            )
            score += 0.0 * turns[1][0, 0]
        return {"score": score}

    module.serve = tf.function(serve, input_signature=specs)
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder
