"""Small SavedModels to load."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def save(folder: Path, factor: float = 2.0, wide: bool = False) -> Path:
    """A model of a number, a whole number, a text and a bool: score = factor * x + k, or NaN."""
    import tensorflow as tf

    module = tf.Module()
    module.factor = tf.Variable(factor)
    shape = [None, 1] if wide else [None]
    specs = {
        "x": tf.TensorSpec(shape, tf.float32, "x"),
        "k": tf.TensorSpec(shape, tf.int32, "k"),
        "c": tf.TensorSpec(shape, tf.string, "c"),
        "b": tf.TensorSpec(shape, tf.bool, "b"),
    }

    def serve(x: Any, k: Any, c: Any, b: Any) -> dict[str, Any]:
        score = module.factor * x + tf.cast(k, tf.float32)
        return {"score": score, "copied": c, "both": tf.stack([score, -score], axis=1)}

    module.serve = tf.function(serve, input_signature=list(specs.values()))
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def save_matrix(folder: Path) -> Path:
    """A model of one matrix: its columns have no names."""
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(
        lambda x: {"y": tf.reduce_sum(x, axis=1)},
        input_signature=[tf.TensorSpec([None, 3], tf.float32, "x")],
    )
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def save_scalar(folder: Path) -> Path:
    """A model that gives one number for a whole batch."""
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(
        lambda x: {"y": tf.reduce_sum(x)},
        input_signature=[tf.TensorSpec([None], tf.float32, "x")],
    )
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def save_two(folder: Path, more: Callable[[Any], Any]) -> Path:
    """A model with a second output: score = x, and what is made of x."""
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(
        lambda x: {"score": x, "more": more(x)},
        input_signature=[tf.TensorSpec([None], tf.float32, "x")],
    )
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder
