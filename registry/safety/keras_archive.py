"""The safety check of a `.keras` file, before Keras reads it.

Keras' own `safe_mode` only refuses marshalled functions. This check refuses, before anything is
loaded, every part that could contain code, read files, or needs code outside Keras.
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
_MAX_MEMBERS = 10_000
#: The members may expand to 4 times the file's size plus 64 MiB: Keras does not compress them.
_EXPANSION, _EXPANDED_BYTES = 4, 64 * 1024 * 1024
_PICKLES = (".pkl", ".pickle", ".npy", ".npz", ".pt", ".pth", ".joblib", ".dill", ".cloudpickle")

#: What reading an untrusted archive may raise; RuntimeError: it has a password.
_UNREADABLE = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    ValueError,
    RuntimeError,
)

#: Plain values: Keras builds them from their config alone.
_VALUES = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
)
#: Layers that run their own code, or load another model from any location.
_LAYERS = frozenset({"Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"})
#: Modules of Keras that models consist of; the others read files, download or change settings.
_MODULES = frozenset(
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
#: Keys whose text is the name of a file that a layer would read.
_FILE_KEYS = frozenset({"vocabulary", "idf_weights", "filepath"})


def refuse_unsafe(path: Path) -> None:
    """Refuse a `.keras` file that could run code or reach outside itself when it is loaded.

    Raises:
        RegistryError: with the unsafe part and why it is not loaded.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_size(path, members)
            for member in members:
                _check_member(path, member)
            if archive.getinfo(_CONFIG).file_size > _CONFIG_BYTES:
                limit = _CONFIG_BYTES >> 20
                raise RegistryError(f"{_CONFIG} in {path.name!r} is larger than {limit} MiB")
            config = json.loads(archive.read(_CONFIG))
    except _UNREADABLE as error:
        raise RegistryError(
            f"{str(path)!r} is not a Keras model: {error} (save it with model.save('x.keras'))"
        ) from error
    if not isinstance(config, dict):
        raise RegistryError(f"{_CONFIG} in {path.name!r} does not describe a model")
    config.pop("compile_config", None)  # the training configuration is not loaded
    for part in _objects(config):
        _check_object(part)


def _check_size(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    if len(members) > _MAX_MEMBERS:
        raise RegistryError(f"{path.name!r} has {len(members)} members, more than {_MAX_MEMBERS}")
    if len({member.filename for member in members}) < len(members):
        raise RegistryError(f"{path.name!r} has duplicate members: save it with model.save")
    expanded = sum(member.file_size for member in members)
    if expanded > _EXPANDED_BYTES + _EXPANSION * path.stat().st_size:
        raise RegistryError(
            f"{path.name!r} would expand to {expanded:,} bytes, far more than its size: save it "
            "with model.save"
        )


def _check_member(path: Path, member: zipfile.ZipInfo) -> None:
    name = PurePosixPath(member.filename)
    where = f"{member.filename!r} in {path.name!r}"
    outside = name.is_absolute() or ".." in name.parts or "\\" in member.filename
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        raise RegistryError(f"{where} points outside the archive: it is not loaded")
    if name.suffix.lower() in _PICKLES:
        raise RegistryError(f"{where} may be a pickle, which can run code when it is loaded")
    if member.filename not in _MEMBERS and name.parts[:1] != (_ASSETS,):
        raise RegistryError(f"{where} is not part of a Keras model: save it again with model.save")


def _objects(root: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in the config, without recursion: a file may be nested to any depth."""
    todo = [root]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            yield part
            todo += part.values()
        elif isinstance(part, list):
            todo += part


def _check_object(part: dict[str, Any]) -> None:
    for key in _FILE_KEYS & part.keys():
        if isinstance(part[key], str):
            raise RegistryError(
                f"the Keras model reads {key} from the file {part[key]!r}, outside the archive: "
                "store the values in the model, or adapt the layer before saving"
            )
    if "class_name" not in part:
        return
    name, module = part["class_name"], part.get("module")
    if isinstance(name, str) and name in _VALUES:
        return
    identifiers = [name, part.get("config")] if name == "function" else [name]
    for identifier in identifiers:  # a dotted name would lead from one Keras module into another
        if not (isinstance(identifier, str) and identifier.isidentifier()):
            raise RegistryError(f"the Keras model has a part with the invalid name {identifier!r}")
    registered = part.get("registered_name")
    if name in _LAYERS or name in ("__lambda__", "__typespec__"):
        raise RegistryError(
            f"the Keras model has a {name}, which contains its own code: use Keras' own layers "
            "and operations instead"
        )
    if not _is_keras(module) or (registered and ">" in str(registered)):
        qualified = ".".join(str(word) for word in (module, identifiers[-1]) if word)
        needed = (registered if registered != name else None) or qualified
        raise RegistryError(
            f"the Keras model needs {needed!r}, a class or function outside Keras: export "
            "it as a SavedModel with model.export, which needs no code"
        )


def _is_keras(module: object) -> bool:
    """Whether a class or function comes from a module of Keras that models consist of."""
    if module == "builtins":  # a function that Keras finds by its name alone, such as relu
        return True
    if not isinstance(module, str):
        return False
    parts = module.split(".")
    if parts[0] != "keras":
        return False
    path = parts[2:] if parts[1:2] == ["src"] else parts[1:]
    return not path or path[0] in _MODULES
