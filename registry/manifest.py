"""MLflow's description of a version, so that its UI and `mlflow.pyfunc.load_model` can read it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import yaml

from driftline.registry.columns import blank_for
from driftline.registry.files import layout
from driftline.registry.loaders.saved_model import SIGNATURE
from driftline.registry.runtime import Runtime, Tensor

_EXAMPLE = "input_example.json"
_MAX_EXAMPLE_BYTES = 16 * 1024 * 1024
#: What reading an untrusted file as an example may raise.
_INVALID_EXAMPLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    OverflowError,
    RecursionError,
    pa.ArrowException,
)

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema


def write(folder: Path, runtime: Runtime, example: pa.Table) -> None:
    """Write MLmodel, the requirements and an input example into a version's folder.

    Parameters:
        folder: the version's folder, to which `layout.copy_model` has copied the model.
        runtime: the loaded model.
        example: a few rows of its inputs.
    """
    from mlflow import pyfunc, tensorflow
    from mlflow.models import Model
    from mlflow.models.utils import _save_example

    model = Model(signature=_signature(runtime))
    _save_example(model, example.to_pandas(), str(folder))
    data = _FLAVORS[layout.kind(folder)](folder, model)
    pyfunc.add_to_model(model, loader_module="mlflow.tensorflow", conda_env="conda.yaml", **data)
    requirements = tensorflow.get_default_pip_requirements()
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")
    (folder / "conda.yaml").write_text(yaml.safe_dump(tensorflow.get_default_conda_env()))
    model.save(str(folder / layout.MANIFEST))


def read_example(folder: Path, inputs: Mapping[str, Tensor]) -> pa.RecordBatch | None:
    """A version's input example as feature columns; None if it has none that fits."""
    fields = blank_for(inputs).schema
    try:
        path = folder / _EXAMPLE
        if not path.is_file() or path.stat().st_size > _MAX_EXAMPLE_BYTES:
            return None
        columns = _columns(json.loads(path.read_text()))
        arrays = [
            pa.array([_value(row, field.type) for row in columns[field.name]], field.type)
            for field in fields
        ]
    except _INVALID_EXAMPLE:
        return None
    return pa.RecordBatch.from_arrays(arrays, schema=fields)


def _columns(content: Any) -> Mapping[str, Any]:
    """Both formats of MLflow: a table by rows, or tensors by name."""
    if "inputs" in content:
        tensors: Mapping[str, Any] = content["inputs"]
        return tensors
    return dict(zip(content["columns"], zip(*content["data"], strict=True), strict=True))


def _value(row: Any, kind: pa.DataType) -> Any:
    """One row of a column: a flat list for a tensor, otherwise a single value."""
    if pa.types.is_fixed_size_list(kind):
        return np.ravel(row).tolist()
    return np.ravel(row).tolist()[0] if isinstance(row, list) else row


def _add_saved_model(_: Path, model: "Model") -> dict[str, str]:
    """This model type calls a SavedModel by its signature; the others save it again or pickle."""
    model.add_flavor(
        "tensorflow",
        model_type="tf1-estimator",
        saved_model_dir=layout.MODEL,
        meta_graph_tags=["serve"],
        signature_def_key=SIGNATURE,
    )
    return {}


def _add_keras(folder: Path, model: "Model") -> dict[str, str]:
    """The same files as MLflow's own logging; its loader reads the format from the text files."""
    import keras

    data = folder / layout.KERAS_DATA
    (data / "keras_module.txt").write_text("keras")
    (data / "save_format.txt").write_text("keras")
    model.add_flavor(
        "tensorflow",
        model_type="keras",
        data=layout.KERAS_DATA,
        keras_module="keras",
        keras_version=keras.__version__,
        save_format="keras",
    )
    return {"data": layout.KERAS_DATA}


_FLAVORS = {"saved_model": _add_saved_model, "keras": _add_keras}


def _signature(runtime: Runtime) -> "ModelSignature":
    from mlflow.models import ModelSignature

    return ModelSignature(inputs=_schema(runtime.inputs), outputs=_schema(runtime.outputs))


def _schema(tensors: Any) -> "Schema":
    from mlflow.types import Schema

    return Schema([_spec(name, tensor) for name, tensor in tensors.items()])


def _spec(name: str, tensor: Tensor) -> Any:
    from mlflow.types import TensorSpec

    dtype = np.dtype(str) if tensor.dtype.kind == "O" else tensor.dtype
    shape = tuple(-1 if size is None else size for size in tensor.shape)
    return TensorSpec(dtype, (-1, *shape), name)
