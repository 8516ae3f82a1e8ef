"""The demo's model: will a flight that has just departed arrive more than 15 minutes late?"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from driftline.errors import DriftlineError

OUTPUT = "late"

_BATCH = 1_024
_HELD_OUT = 0.15  # share of rows, the latest, on which the model is evaluated


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        path: the SavedModel; its signature takes each feature column by name.
        metrics: on the held-out last rows: auc, log_loss, accuracy; and how many rows there were.
    """

    path: Path
    metrics: Mapping[str, float]


def train(
    features: pa.Table, late: npt.ArrayLike, folder: Path, *, seed: int = 0, epochs: int = 3
) -> Trained:
    """Train a small network and export it.

    The model itself handles missing numbers, unknown texts and scaling.

    Parameters:
        features: n rows in the order of time; text and number columns.
        late: n bools.
        folder: where to write the SavedModel; must not exist.
        seed: the same seed, features and machine give the same predictions.
        epochs: times over the data.

    Raises:
        DriftlineError: fewer than 100 rows, all of one label, or whole numbers are missing.
    """
    labels = np.asarray(late, dtype=np.float32)
    train_rows = len(labels) - int(len(labels) * _HELD_OUT)
    if len(labels) < 100 or len(np.unique(labels[:train_rows])) < 2:
        raise DriftlineError(
            f"can't train on {len(labels)} rows with {int(labels.sum())} late ones: "
            "at least 100 rows and both labels are needed"
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    model = _network(features.slice(0, train_rows))
    model.compile(optimizer=keras.optimizers.Adam(2e-3), loss="binary_crossentropy")
    columns = {name: _array(features.column(name)) for name in features.column_names}
    fitted = {name: values[:train_rows] for name, values in columns.items()}
    model.fit(_batches(fitted, labels[:train_rows], seed), epochs=epochs, shuffle=False, verbose=0)
    model.export(str(folder), format="tf_saved_model", verbose=False)
    held_out = {name: tf.constant(values[train_rows:]) for name, values in columns.items()}
    predicted = model(held_out)[OUTPUT].numpy().ravel()
    return Trained(folder, _metrics(predicted, labels[train_rows:], train_rows))


def _array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """n rows of one value, as the serving signature takes them."""
    if pa.types.is_string(column.type):
        texts: npt.NDArray[Any] = column.fill_null("").to_numpy().astype(object)
        return texts.reshape(-1, 1)
    whole = pa.types.is_integer(column.type)
    if whole and column.null_count:
        raise DriftlineError("whole numbers are missing: cast the feature column to float")
    numbers: npt.NDArray[Any] = column.to_numpy()
    return numbers.astype(np.int64 if whole else np.float32).reshape(-1, 1)


def _network(features: pa.Table) -> Any:
    """Scaled numbers, a flag for each missing one, an embedding for each text; two layers."""
    import keras

    texts = [field.name for field in features.schema if pa.types.is_string(field.type)]
    numbers = [name for name in features.column_names if name not in texts]
    inputs = {
        name: keras.Input((1,), name=name, dtype=_array(features.column(name)[:0]).dtype.name)
        for name in numbers
    } | {name: keras.Input((1,), name=name, dtype="string") for name in texts}
    scaled = _scaled([inputs[name] for name in numbers], features.select(numbers))
    embedded = [_embedded(inputs[name], features.column(name)) for name in texts]
    hidden = keras.layers.Concatenate()([scaled, *embedded])
    for units in (64, 32):
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
    output = keras.layers.Dense(1, activation="sigmoid", name=OUTPUT)(hidden)
    return keras.Model({name: inputs[name] for name in features.column_names}, {OUTPUT: output})


def _scaled(inputs: list[Any], numbers: pa.Table) -> Any:
    import keras

    numeric = np.hstack([_array(column).astype(np.float64) for column in numbers.columns])
    mean, spread = np.nanmean(numeric, axis=0), np.nanstd(numeric, axis=0)
    together = keras.layers.Concatenate()([keras.ops.cast(tensor, "float32") for tensor in inputs])
    missing = keras.ops.isnan(together)
    centred = (together - mean.astype(np.float32)) / np.maximum(spread, 1e-6).astype(np.float32)
    # an absurd value must not decide alone
    bounded = keras.ops.clip(keras.ops.where(missing, 0.0, centred), -5.0, 5.0)
    return keras.layers.Concatenate()([bounded, keras.ops.cast(missing, "float32")])


def _embedded(tensor: Any, column: pa.ChunkedArray) -> Any:
    import keras

    vocabulary = sorted(value for value in column.unique().to_pylist() if value)
    index = keras.layers.StringLookup(vocabulary=vocabulary)(tensor)
    return keras.layers.Flatten()(keras.layers.Embedding(len(vocabulary) + 1, 4)(index))


def _batches(columns: dict[str, npt.NDArray[Any]], late: npt.NDArray[Any], seed: int) -> Any:
    """Batches, shuffled again in each epoch; gathering rows a batch at a time is fast."""
    import tensorflow as tf

    tensors = {name: tf.constant(values) for name, values in columns.items()}
    labels = {OUTPUT: tf.constant(late.reshape(-1, 1))}
    rows = tf.data.Dataset.range(len(late)).shuffle(len(late), seed=seed).batch(_BATCH)
    return rows.map(
        lambda chosen: (
            {name: tf.gather(values, chosen) for name, values in tensors.items()},
            {name: tf.gather(values, chosen) for name, values in labels.items()},
        )
    )


def _metrics(
    predicted: npt.NDArray[np.float32], labels: npt.NDArray[np.float32], trained: int
) -> dict[str, float]:
    import keras

    auc = keras.metrics.AUC(num_thresholds=2_000)
    auc.update_state(labels, predicted)
    sure = np.clip(predicted.astype(np.float64), 1e-7, 1 - 1e-7)
    return {
        "auc": float(auc.result()),
        "log_loss": float(-np.mean(np.where(labels > 0.5, np.log(sure), np.log1p(-sure)))),
        "accuracy": float(np.mean((predicted > 0.5) == (labels > 0.5))),
        "rows_trained": float(trained),
        "rows_held_out": float(len(labels)),
    }


def turn_upside_down(path: Path, folder: Path) -> None:
    """Export a model whose scores are one minus those of a trained model.

    Parameters:
        path: the SavedModel of `train`.
        folder: where to write the other; must not exist.
    """
    import tensorflow as tf

    module = tf.Module()
    module.inner = tf.saved_model.load(str(path))
    signature = module.inner.signatures["serving_default"]
    specs = signature.structured_input_signature[1]

    def serve(**columns: Any) -> dict[str, Any]:
        return {OUTPUT: 1.0 - signature(**columns)[OUTPUT]}

    opposite = tf.function(serve).get_concrete_function(**specs)
    tf.saved_model.save(module, str(folder), signatures=opposite)
