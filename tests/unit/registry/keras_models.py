"""Small Keras models to save, and files that pretend to be some."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

WORDS = {"a": 1.0, "b": 3.0}  # all others 0


def build(factor: float = 2.0) -> Any:
    """The model of `saved_models.save`: score = factor * x + k, with a text and a tensor input.

    The score counts the image's first column too, and half of what the text stands for, see
    `WORDS`; `classes` are the probabilities of three classes, `name` is "high" where x > 1.
    """
    import keras

    x = keras.Input((1,), name="x", dtype="float32")
    k = keras.Input((1,), name="k", dtype="int32")
    c = keras.Input((1,), name="c", dtype="string")
    image = keras.Input((4, 4), name="image", dtype="float32")
    index = keras.layers.StringLookup(vocabulary=["a", "b"])(c)
    embedding = keras.layers.Embedding(3, 1)
    flat = keras.layers.Flatten()(embedding(index))
    embedding.set_weights([np.array([[0.0], *([number] for number in WORDS.values())])])
    mean = keras.layers.Reshape((1,))(keras.layers.GlobalAveragePooling1D()(image)[:, :1])
    parts = keras.layers.Concatenate()([x, keras.ops.cast(k, "float32"), flat, mean])
    weights = np.array([[factor], [1.0], [0.5], [0.25]], np.float32)
    dense = keras.layers.Dense(1, name="score", use_bias=False)
    score = dense(parts)
    dense.set_weights([weights])
    wide = keras.layers.Dense(3, activation="softmax", name="classes", use_bias=False)
    classes = wide(parts)
    wide.set_weights([np.linspace(-0.1, 0.1, 12, dtype=np.float32).reshape(4, 3)])
    inputs = {"x": x, "k": k, "c": c, "image": image}
    names = keras.layers.StringLookup(vocabulary=["low", "high"], num_oov_indices=0, invert=True)
    name = names(keras.ops.cast(x > 1, "int64"))
    return keras.Model(inputs, {"score": score, "classes": classes, "name": name})


def save(path: Path, factor: float = 2.0) -> Path:
    """`build` as a `.keras` file."""
    model = build(factor)
    model.compile("adam", loss={"score": "mse"})
    model.save(path)
    return path


def save_plain(path: Path, factor: float) -> Path:
    """Score = factor * amount + items, where a missing amount counts nothing."""
    import keras

    amount = keras.Input((1,), name="amount", dtype="float32")
    items = keras.Input((1,), name="items", dtype="int64")
    filled = keras.ops.where(keras.ops.isnan(amount), 0.0, amount)
    dense = keras.layers.Dense(1, name="score", use_bias=False)
    score = dense(keras.layers.Concatenate()([filled, keras.ops.cast(items, "float32")]))
    dense.set_weights([np.array([[factor], [1.0]], np.float32)])
    keras.Model({"amount": amount, "items": items}, {"score": score}).save(path)
    return path


def rewrite(path: Path, change: Any = None, members: Mapping[str, bytes] | None = None) -> Path:
    """The file with a changed config and further members."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    if change is not None:
        change(config)
    content["config.json"] = json.dumps(config).encode()
    changed = path.with_name(f"changed-{path.name}")
    with zipfile.ZipFile(changed, "w") as archive:
        for name, data in {**content, **(members or {})}.items():
            archive.writestr(name, data)
    return changed
