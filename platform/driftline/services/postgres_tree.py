"""PostgreSQL and TimescaleDB, unpacked from Debian's packages into a folder of the cache.

They are started through their own dynamic loader, so the machine's C library does not matter.
"""

import hashlib
import shlex
import shutil
from pathlib import Path

from driftline.services import debian
from driftline.services.cache import Say, populate, readable_cache_folder

SUITE = "trixie"
MAJOR = "17"
PACKAGES = (
    f"postgresql-{MAJOR} postgresql-client-{MAJOR} postgresql-{MAJOR}-timescaledb libpq5 libc6"
    " libzstd1 liblz4-1 libxml2 libpam0g libssl3t64 libgssapi-krb5-2 zlib1g libldap2 libicu76"
    " libsystemd0 libxxhash0 liblzma5 libaudit1 libkrb5-3 libk5crypto3 libcom-err2"
    " libkrb5support0 libsasl2-2 libstdc++6 libgcc-s1 libcap2 libcap-ng0 libkeyutils1"
    " libreadline8t64 libtinfo6"
).split()
_UNUSED = ("usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/postgresql-common")
PROGRAMS = ("postgres", "initdb", "psql", "pg_controldata", "pg_dump", "pg_restore")
_RECIPE = "1"  # part of the cache's key: raise it when what is unpacked changes


def fetch(say: Say) -> Path:
    """The folder with the programs, downloaded at the first call.

    The mirror keeps only a suite's current versions, so none is pinned: `versions.txt` in the
    folder lists the downloaded ones.

    Raises:
        ServiceError: no apt, no reachable mirror, no space, or no packages for this machine.
    """
    target = location()

    def build(folder: Path) -> None:
        say(f"downloading TimescaleDB (about 40 MB, Debian {SUITE})")
        work = folder / "apt"
        work.mkdir()
        versions = debian.unpack(debian.fetch(PACKAGES, SUITE, work, say), folder)
        shutil.rmtree(work)
        (folder / "versions.txt").write_text("\n".join(versions) + "\n")
        _arrange(folder, target)

    return populate(target, build, megabytes=400, say=say)


def location() -> Path:
    """Where the programs are, or will be."""
    key = hashlib.sha256("\n".join((_RECIPE, SUITE, *PACKAGES)).encode()).hexdigest()[:12]
    return readable_cache_folder() / f"timescaledb-{SUITE}-{debian.architecture()}-{key}"


def programs(tree: Path) -> Path:
    """The folder of a tree from which `postgres` and its like are started."""
    return tree / "usr/lib/postgresql" / MAJOR / "bin"


def _arrange(folder: Path, target: Path) -> None:
    """Leave out what is not needed, and put a wrapper with the right loader before each program.

    `target` is the final path of `folder`: a wrapper names its loader by an absolute path.
    """
    for name in _UNUSED:
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in [*folder.rglob("llvmjit*"), *folder.rglob("bitcode")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    loader = next((folder / "usr/lib").glob("*-linux-gnu/ld-linux-*.so.*")).relative_to(folder)
    elf = programs(folder).with_name("elf")
    elf.mkdir()
    for name in PROGRAMS:
        (programs(folder) / name).rename(elf / name)
        wrapper = programs(folder) / name
        argv = [
            target / loader,
            *("--argv0", programs(target) / name),
            *("--library-path", (target / loader).parent),
            programs(target).with_name("elf") / name,
        ]
        quoted = " ".join(shlex.quote(str(word)) for word in argv)
        wrapper.write_text(f'#!/bin/sh\nexec {quoted} "$@"\n')
        wrapper.chmod(0o755)
