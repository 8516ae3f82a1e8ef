"""The inputs and outputs of a version, as its `MLmodel` tells them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from driftline.errors import RegistryError
from driftline.registry.files import layout, mlmodel
from driftline.registry.runtime import Tensor


def tensors(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs and outputs by name; none where it tells of none.

    Parameters:
        folder: of the version.

    Raises:
        RegistryError: they can't be read.
    """
    found = mlmodel.signature(folder / layout.MANIFEST)
    try:
        both = [found.get(key, []) for key in ("inputs", "outputs")]
        inputs, outputs = ({one["name"]: _tensor(one) for one in specs} for specs in both)
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
