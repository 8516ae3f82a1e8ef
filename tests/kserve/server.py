"""A model server of kserve's own: it runs in its own environment, see tests/serving.py.

    python server.py PORT

It computes what `tests/unit/registry/keras_models.build` computes, from the same weights.
"""

import sys
from typing import Any

import numpy as np
from kserve import Model, ModelServer
from kserve.errors import InvalidInput

WORDS = {"a": 1.0, "b": 3.0}
SCORE = np.array([[2.0], [1.0], [0.5], [0.25]], np.float32)
CLASSES = np.linspace(-0.1, 0.1, 12, dtype=np.float32).reshape(4, 3)


class Conformance(Model):  # type: ignore[misc]
    """Row and columnar requests of TensorFlow Serving's protocol."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    def predict(self, payload: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        """{"instances": rows} gives {"predictions": rows}, {"inputs": columns} gives outputs."""
        in_rows = "instances" in payload
        columns = _columns(payload["instances"]) if in_rows else payload["inputs"]
        if any(text == ["poison"] for text in columns["c"]):
            raise InvalidInput("no poison")
        outputs = _compute(columns)
        if not in_rows:
            return {"outputs": outputs}
        rows = zip(*outputs.values(), strict=True)
        return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _compute(columns: dict[str, list[Any]]) -> dict[str, Any]:
    x = np.array(columns["x"], np.float32).reshape(-1, 1)  # null becomes NaN
    k = np.array(columns["k"], np.float32).reshape(-1, 1)
    image = np.array(columns["image"], np.float32).reshape(-1, 4, 4)
    words = np.array([[WORDS.get(text, 0.0)] for text in np.ravel(columns["c"])], np.float32)
    parts = np.concatenate([x, k, words, image.mean(axis=1)[:, :1]], axis=1)
    logits = parts @ CLASSES
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    classes = powers / powers.sum(axis=1, keepdims=True)
    names = np.array(["low", "high"])[(x.ravel() > 1).astype(int)]
    return {
        "score": (parts @ SCORE).tolist(),
        "classes": classes.tolist(),
        "name": names.tolist(),
    }


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start(
        [Conformance("conformance")]
    )
