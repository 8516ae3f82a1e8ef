"""The files that registration adds to a model: its binning and its reference."""

from dataclasses import dataclass
from pathlib import Path

from driftline import names
from driftline.errors import RegistryError, SchemaError
from driftline.profile import blocks, sample
from driftline.profile.binning import Binning
from driftline.profile.blocks import Block
from driftline.profile.profile import Profile

_MAX_BYTES = 64 * 1024 * 1024  # of one file


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of one version.

    Attributes:
        binning: the frozen bins of the columns.
        reference: the packed profile of the reference.
        rows: the number of rows of the reference.
        sample: some of those rows, packed; None for versions without a sample.
        blocks: the reference by time; empty for a reference without event times.
    """

    binning: Binning
    reference: bytes
    rows: int
    sample: bytes | None
    blocks: list[Block]


def read(folder: Path) -> Artifacts:
    """Read and check all of a version's artifacts.

    Parameters:
        folder: the version's folder, from `driftline.registry.files.cache.fetch`.

    Raises:
        RegistryError: one cannot be read, or they do not fit together.
    """
    binning = read_binning(folder / names.BINNING_ARTIFACT)
    reference = _bytes(folder / names.REFERENCE_ARTIFACT)
    sample_file = folder / names.REFERENCE_SAMPLE_ARTIFACT
    blocks_file = folder / names.REFERENCE_BLOCKS_ARTIFACT
    packed_sample = _bytes(sample_file) if sample_file.is_file() else None
    try:
        if packed_sample is not None:
            sample.unpack(packed_sample)
        by_time = blocks.from_bytes(_bytes(blocks_file)) if blocks_file.is_file() else []
        for block in by_time:
            Profile.of(binning, block.cells)
        profile = Profile.of(binning, reference)
        return Artifacts(binning, reference, profile.rows, packed_sample, by_time)
    except SchemaError as error:
        raise RegistryError(f"can't use the reference of the version: {error}") from error


def read_binning(path: Path) -> Binning:
    """Read a binning.

    Raises:
        RegistryError: the file is not a valid binning.
    """
    try:
        return Binning.from_json(_bytes(path).decode())
    except (SchemaError, UnicodeDecodeError) as error:
        raise RegistryError(f"can't use the binning of the version: {error}") from error


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > _MAX_BYTES:
        limit = _MAX_BYTES >> 20
        raise RegistryError(f"{path.name} is larger than {limit} MiB: register the model again")
    return path.read_bytes()
