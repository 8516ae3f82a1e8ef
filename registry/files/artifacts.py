"""What registering has put beside a model: its binning, its reference, rows and blocks of it."""

from dataclasses import dataclass
from pathlib import Path

from driftline import names
from driftline.errors import RegistryError, SchemaError
from driftline.profile import blocks, sample
from driftline.profile.binning import Binning
from driftline.profile.blocks import Block
from driftline.profile.profile import Profile

_MOST = 64 * 1024 * 1024  # bytes of one of them


@dataclass(frozen=True)
class Artifacts:
    """Those of one version.

    Attributes:
        reference: the packed profile of the reference.
        rows: how many rows the reference has.
        sample: some of those rows, packed; None in versions that have none.
        blocks: the reference by time; none of a reference without times.
    """

    binning: Binning
    reference: bytes
    rows: int
    sample: bytes | None
    blocks: list[Block]


def read(folder: Path) -> Artifacts:
    """Read and check all of a version's artifacts.

    Args:
        folder: of the version, as `driftline.registry.files.cache.fetch` gives it.

    Raises:
        RegistryError: one cannot be read, or they do not fit together.
    """
    frozen = binning(folder / names.BINNING_ARTIFACT)
    reference = _bytes(folder / names.REFERENCE_ARTIFACT)
    rows = folder / names.REFERENCE_SAMPLE_ARTIFACT
    by_time = folder / names.REFERENCE_BLOCKS_ARTIFACT
    packed = _bytes(rows) if rows.is_file() else None
    try:
        if packed is not None:
            sample.unpack(packed)
        by_block = blocks.from_bytes(_bytes(by_time)) if by_time.is_file() else []
        for block in by_block:
            Profile.of(frozen, block.cells)
        profile = Profile.of(frozen, reference)
        return Artifacts(frozen, reference, profile.rows, packed, by_block)
    except SchemaError as error:
        raise RegistryError(f"can't use the reference of the version: {error}") from error


def binning(path: Path) -> Binning:
    """Read a binning.

    Raises:
        RegistryError: it is none.
    """
    try:
        return Binning.from_json(_bytes(path).decode())
    except (SchemaError, UnicodeDecodeError) as error:
        raise RegistryError(f"can't use the binning of the version: {error}") from error


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > _MOST:
        raise RegistryError(
            f"{path.name} of the version has more than {_MOST >> 20} MiB: register the model again"
        )
    return path.read_bytes()
