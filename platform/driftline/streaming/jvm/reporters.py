"""Flink's metric reporters for a local job: PyFlink contains them, but not on the class path."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

_FACTORY = "metrics.reporter."


def reporter_jars(properties: Mapping[str, object]) -> list[Path]:
    """The jars of the reporters that Flink's properties name.

    A cluster finds them in its plugins folder; the mini cluster searches only its class path.

    >>> reporter_jars({})
    []
    """
    classes = [str(value) for key, value in properties.items() if key.startswith(_FACTORY)]
    spec = find_spec("pyflink")
    folder = Path(spec.origin if spec and spec.origin else "").parent / "plugins"
    return [
        jar
        for jar in sorted(folder.glob("metrics-*/*.jar"))
        if any(f".{jar.parent.name.removeprefix('metrics-')}." in name for name in classes)
    ]
