"""The inputs and outputs of a version, read from its `MLmodel`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from driftline.errors import RegistryError
from driftline.registry.files import layout, mlmodel
from driftline.registry.runtime import Tensor


def tensors(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs and outputs by name; empty if there is no signature.

    Parameters:
        folder: the version's folder.

    Raises:
        RegistryError: they can't be read.
    """
    signature = mlmodel.signature(folder / layout.MANIFEST)
    try:
        specs = [signature.get(key, []) for key in ("inputs", "outputs")]
        inputs, outputs = ({spec["name"]: _tensor(spec) for spec in part} for part in specs)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegistryError(
            f"can't read the signature of {layout.MANIFEST} in {str(folder)!r}: register the "
            "version with driftline"
        ) from error
    return inputs, outputs


def _tensor(spec: Mapping[str, Any]) -> Tensor:
    dtype, shape = spec["tensor-spec"]["dtype"], spec["tensor-spec"]["shape"]
    sizes = tuple(None if size < 0 else size for size in shape[1:])
    return Tensor(np.dtype(object if dtype == "str" else dtype), sizes)
