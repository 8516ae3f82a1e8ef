"""Downloaded programs, kept in the user's cache folder and shared between clones."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from driftline.services.files import file_lock, require_space

Say = Callable[[str], None]


def cache_folder() -> Path:
    """`DRIFTLINE_CACHE_DIR`, or `driftline` in the user's cache folder."""
    override = os.environ.get("DRIFTLINE_CACHE_DIR")
    return Path(override).absolute() if override else platformdirs.user_cache_path("driftline")


def readable_cache_folder() -> Path:
    """A cache folder whose programs an ordinary user can run, even if we are root.

    The user that PostgreSQL runs as cannot enter root's home, but it can enter the site cache.
    """
    folder = cache_folder()
    if os.geteuid() != 0 or _open_to_all(folder):
        return folder
    return platformdirs.site_cache_path("driftline")


def populate(target: Path, build: Callable[[Path], None], *, megabytes: int, say: Say) -> Path:
    """Build a cached folder once and atomically, also when several processes try at once.

    Parameters:
        target: the folder; if it exists, nothing is done.
        build: fills an empty folder, which is then renamed to `target`.
        megabytes: disk space that building needs.

    Raises:
        ServiceError: the disk is too full, or an error of `build`.
    """
    if target.is_dir():
        return target
    require_space(target, megabytes, target.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(target.with_name(f".{target.name}.lock"), on_wait=say):
        if not target.is_dir():
            _build(target, build)
    return target


def _build(target: Path, build: Callable[[Path], None]) -> None:
    work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        build(work)
        work.chmod(0o755)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _open_to_all(folder: Path) -> bool:
    existing = [path for path in (folder, *folder.parents) if path.exists()]
    return all(path.stat().st_mode & 0o001 for path in existing)
