"""What is found in the cache of versions."""

import os
from pathlib import Path

import pytest

from driftline.registry.files import layout
from driftline.registry.files.cache import cached
from tests.unit.registry.files.test_layout import version

WEIGHTS = f"{layout.MODEL}/variables/variables.index"


@pytest.mark.parametrize("link", [WEIGHTS, layout.MODEL, "."])
def test_a_version_with_links_is_deleted(tmp_path: Path, link: str) -> None:
    """The digest is that of what a link points to, which can change when it has been checked."""
    digest = layout.digest(version(tmp_path / "v"))
    place = tmp_path / "models" / "m" / f"1-{digest[:16]}"
    place.parent.mkdir(parents=True)
    (tmp_path / "v").rename(place)
    assert cached("m", 1, digest, tmp_path / "models") == place
    (place / link).resolve().rename(tmp_path / "elsewhere")
    (place.parent / place.name / link).symlink_to(tmp_path / "elsewhere")
    assert cached("m", 1, digest, tmp_path / "models") is None
    assert not os.path.lexists(place)
    assert (tmp_path / "elsewhere").exists()


def test_a_version_without_a_model_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "m" / f"1-{'0' * 16}").mkdir(parents=True)
    assert cached("m", 1, "0" * 64, tmp_path) is None
