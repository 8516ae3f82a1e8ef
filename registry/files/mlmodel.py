"""MLflow's description of a version, the file `MLmodel`; its content is untrusted."""

import json
from pathlib import Path
from typing import Any

from driftline.config import bounded_yaml
from driftline.errors import RegistryError

_MAX_BYTES = 4 * 1024 * 1024  # a model of 10,000 inputs needs 1 MiB


def read(path: Path) -> dict[str, Any]:
    """The content of an `MLmodel` file.

    Raises:
        RegistryError: it is not a valid `MLmodel` file.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            limit = _MAX_BYTES >> 20
            raise RegistryError(f"{path.name} is larger than {limit} MiB: log the model again")
        _, content = bounded_yaml.parse(path.read_text())
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RegistryError(f"can't read {str(path)!r}: {reason}: log the model again") from error
    if not isinstance(content, dict):
        raise RegistryError(f"{str(path)!r} does not describe a model: log the model again")
    return content


def flavors(path: Path) -> dict[str, dict[str, Any]]:
    """The ways in which MLflow would load the model, by name.

    Raises:
        RegistryError: see `read`.
    """
    content = read(path).get("flavors")
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise RegistryError(f"{str(path)!r} has no flavors: log the model again")
    return content


def signature(path: Path) -> dict[str, Any]:
    """Inputs and outputs, which are JSON inside the YAML; {} if there is no signature.

    Raises:
        RegistryError: see `read`; or they are not JSON.
    """
    texts = read(path).get("signature") or {}
    try:
        return {key: json.loads(texts[key]) for key in ("inputs", "outputs") if texts.get(key)}
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise RegistryError(f"can't read the signature in {str(path)!r}: {error}") from error
