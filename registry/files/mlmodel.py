"""MLflow's description of a version, `MLmodel`, read as what it is: text of somebody else's."""

import json
from pathlib import Path
from typing import Any

from driftline.config import bounded_yaml
from driftline.errors import RegistryError

_MOST = 4 * 1024 * 1024  # bytes; a model of 10,000 inputs has one


def read(path: Path) -> dict[str, Any]:
    """The content of an `MLmodel` file.

    Raises:
        RegistryError: it is no such file.
    """
    try:
        if path.stat().st_size > _MOST:
            raise RegistryError(f"{path.name} has more than {_MOST >> 20} MiB: log the model again")
        _, content = bounded_yaml.parse(path.read_text())
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RegistryError(f"can't read {str(path)!r}: {reason}: log the model again") from error
    if not isinstance(content, dict):
        raise RegistryError(f"{str(path)!r} describes no model: log the model again")
    return content


def flavors(path: Path) -> dict[str, dict[str, Any]]:
    """The ways in which MLflow would load the model, by name.

    Raises:
        RegistryError: see `read`.
    """
    found = read(path).get("flavors")
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise RegistryError(f"{str(path)!r} has no flavors: log the model again")
    return found


def signature(path: Path) -> dict[str, Any]:
    """Inputs and outputs, which are JSON inside the YAML; {} where there is no signature.

    Raises:
        RegistryError: see `read`; or they are no JSON.
    """
    found = read(path).get("signature") or {}
    try:
        return {key: json.loads(found[key]) for key in ("inputs", "outputs") if found.get(key)}
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise RegistryError(f"can't read the signature in {str(path)!r}: {error}") from error
