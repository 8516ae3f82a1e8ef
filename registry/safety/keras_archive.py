"""What a `.keras` file may hold: the check before Keras reads it.

Keras' own `safe_mode` refuses marshalled functions; this refuses, before anything is loaded, all
that could bring code, fetch files or needs code that the file does not name as Keras' own.
"""

import json
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from driftline.errors import RegistryError

_CONFIG = "config.json"
_MEMBERS = frozenset({_CONFIG, "metadata.json", "model.weights.h5"})
_ASSETS = "assets"
_CONFIG_BYTES = 64 * 1024 * 1024
_MOST_MEMBERS = 10_000
#: What its members may become, together, beside some: Keras compresses nothing.
_EXPANSION, _EXPANDED_BYTES = 4, 64 * 1024 * 1024
_PICKLES = (".pkl", ".pickle", ".npy", ".npz", ".pt", ".pth", ".joblib", ".dill", ".cloudpickle")

#: What reading an archive of somebody else's may raise; RuntimeError: it has a password.
_UNREADABLE = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    ValueError,
    RuntimeError,
)

#: Values, no objects: Keras makes them from their config alone.
_VALUES = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
)
#: Layers that run code of their own, or load another model from anywhere.
_LAYERS = frozenset({"Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"})
#: Parts of Keras that a model is made of; the others read files, download or change settings.
_PARTS = frozenset(
    {
        "activations",
        "constraints",
        "distribution",
        "dtype_policies",
        "initializers",
        "layers",
        "losses",
        "metrics",
        "models",
        "ops",
        "optimizers",
        "quantizers",
        "random",
        "regularizers",
    }
)
#: Keys whose text is the name of a file, of which a layer would read the content.
_FILES = frozenset({"vocabulary", "idf_weights", "filepath"})


def refuse_unsafe(path: Path) -> None:
    """Refuse a `.keras` file that could run code or reach outside itself when it is loaded.

    Raises:
        RegistryError: naming what it holds and why it is not loaded.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_size(path, members)
            for member in members:
                _check_member(path, member)
            if archive.getinfo(_CONFIG).file_size > _CONFIG_BYTES:
                raise RegistryError(f"{_CONFIG} in {path.name!r} is larger than any model's")
            config = json.loads(archive.read(_CONFIG))
    except _UNREADABLE as error:
        raise RegistryError(
            f"{str(path)!r} is not a Keras model: {error} (save it with model.save('x.keras'))"
        ) from error
    if not isinstance(config, dict):
        raise RegistryError(f"{_CONFIG} in {path.name!r} describes no model")
    config.pop("compile_config", None)  # how it was trained is not loaded
    for part in _objects(config):
        _check_object(part)


def _check_size(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    if len(members) > _MOST_MEMBERS:
        raise RegistryError(f"{path.name!r} has {len(members)} members: no Keras model has so many")
    if len({member.filename for member in members}) < len(members):
        raise RegistryError(f"{path.name!r} has two members of one name: save it with model.save")
    expanded = sum(member.file_size for member in members)
    if expanded > _EXPANDED_BYTES + _EXPANSION * path.stat().st_size:
        raise RegistryError(
            f"{path.name!r} would become {expanded:,} bytes, far more than it has: save it with "
            "model.save"
        )


def _check_member(path: Path, member: zipfile.ZipInfo) -> None:
    name = PurePosixPath(member.filename)
    where = f"{member.filename!r} in {path.name!r}"
    outside = name.is_absolute() or ".." in name.parts or "\\" in member.filename
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        raise RegistryError(f"{where} points outside the archive: it is not loaded")
    if name.suffix.lower() in _PICKLES:
        raise RegistryError(f"{where} may be a pickle, which runs code when it is loaded")
    if member.filename not in _MEMBERS and name.parts[:1] != (_ASSETS,):
        raise RegistryError(f"{where} is no part of a Keras model: save it anew with model.save")


def _objects(root: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in the config, without recursion: a file may be nested as deep as it likes."""
    todo = [root]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            yield part
            todo += part.values()
        elif isinstance(part, list):
            todo += part


def _check_object(part: dict[str, Any]) -> None:
    for key in _FILES & part.keys():
        if isinstance(part[key], str):
            raise RegistryError(
                f"the Keras model takes {key} from the file {part[key]!r}, outside the archive: "
                "give the values themselves, or adapt the layer before saving"
            )
    if "class_name" not in part:
        return
    name, module = part["class_name"], part.get("module")
    if isinstance(name, str) and name in _VALUES:
        return
    called = [name, part.get("config")] if name == "function" else [name]
    for one in called:  # a dotted name would lead from one part of Keras into another
        if not (isinstance(one, str) and one.isidentifier()):
            raise RegistryError(f"the Keras model has a part of the name {one!r}, which is none")
    registered = part.get("registered_name")
    known = registered if registered != name else None
    shown = known or ".".join(str(one) for one in (module, called[-1]) if one)
    if name in _LAYERS or name in ("__lambda__", "__typespec__"):
        raise RegistryError(
            f"the Keras model has a {name}, which brings code of its own: use Keras' own layers "
            "and operations instead"
        )
    if not _is_keras(module) or (registered and ">" in str(registered)):
        raise RegistryError(
            f"the Keras model needs {shown!r}, a class or function that is not Keras' own: export "
            "it as a SavedModel with model.export, which needs no code"
        )


def _is_keras(module: object) -> bool:
    """Whether a class or function comes from a part of Keras that a model is made of."""
    if module == "builtins":  # a function that Keras knows by its name alone, such as relu
        return True
    if not isinstance(module, str):
        return False
    parts = module.split(".")
    if parts[0] != "keras":
        return False
    rest = parts[2:] if parts[1:2] == ["src"] else parts[1:]
    return not rest or rest[0] in _PARTS
