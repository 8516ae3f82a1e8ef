"""Debian packages unpacked into a folder: no root, nothing installed on the machine.

apt runs with its own state and its own list of sources, so the machine's package database is not
touched. The mirror is one of the machine's own sources.
"""

import os
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from driftline.errors import ServiceError
from driftline.services.cache import Say
from driftline.services.run import find_program, run

ARCHITECTURES = ("amd64", "arm64")
_KEYRINGS = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")
_APT = "apt (the local TimescaleDB needs Debian; elsewhere give its address in driftline.yaml)"


@cache
def architecture() -> str:
    """Debian's name of this machine's architecture.

    Raises:
        ServiceError: there are no packages for it, or this is not a Debian system.
    """
    name = run([find_program("dpkg", _APT), "--print-architecture"], "can't run dpkg").strip()
    if name not in ARCHITECTURES:
        raise ServiceError(
            f"can't run TimescaleDB on architecture {name!r}, only on {', '.join(ARCHITECTURES)}"
            " (give the address of a server in driftline.yaml)"
        )
    return name


def mirrors(update_uris: str) -> list[str]:
    """Debian mirrors that a machine uses, best first.

    Parameters:
        update_uris: output of `apt-get update --print-uris`, which reads all forms of sources.

    Example:
        >>> mirrors("'http://m/debian/dists/bookworm/InRelease' m 0")
        ['http://m/debian/']
    """
    repositories = re.findall(r"^'(\S+?/)dists/([a-z]+(?:-updates)?)/InRelease'", update_uris, re.M)
    updated = {uri for uri, suite in repositories if suite.endswith("-updates")}
    plain = dict.fromkeys(uri for uri, suite in repositories if not suite.endswith("-updates"))
    # The archive has an -updates suite beside it; a vendor's repository has not.
    return sorted(plain, key=lambda uri: uri not in updated)


def fetch(packages: Sequence[str], suite: str, work: Path, say: Say) -> list[Path]:
    """Download the current versions of packages.

    Parameters:
        packages: names; their dependencies are not followed.
        suite: Debian release, such as `trixie`; need not be the machine's own.
        work: folder for apt's state and the downloads.

    Raises:
        ServiceError: no apt, no Debian mirror, or no mirror that has these packages.
    """
    apt = find_program("apt-get", _APT)
    listed = run(
        [apt, "update", "--print-uris", "-o", "Debug::NoLocking=1"], "can't read apt's sources"
    )
    candidates = mirrors(listed)
    if not candidates:
        raise ServiceError(
            "can't find a Debian mirror in this machine's apt sources (add one to"
            " /etc/apt/sources.list, or give TimescaleDB's address in driftline.yaml)"
        )
    failures = []
    for mirror in candidates:
        try:
            return _fetch_from(apt, mirror, packages, suite, work)
        except ServiceError as error:
            say("a package mirror failed, trying the next")
            failures.append(str(error))
    raise ServiceError(failures[0])


def unpack(archives: Iterable[Path], root: Path) -> list[str]:
    """Unpack .deb files into a folder; returns `name version` of each."""
    deb = find_program("dpkg-deb", _APT)
    names = []
    for archive in sorted(archives):
        run([deb, "-x", str(archive), str(root)], f"can't unpack {archive.name!r}")
        name, version, _ = archive.name.split("_")
        names.append(f"{name} {version.replace('%3a', ':')}")
    return names


def _fetch_from(
    apt: str, mirror: str, packages: Sequence[str], suite: str, work: Path
) -> list[Path]:
    argv = [apt, "-q", "-c", str(_configure(mirror, suite, work))]
    failure = f"can't get packages of Debian {suite!r} (is the mirror in apt's sources reachable?)"
    env = {**os.environ, "LC_ALL": "C"}
    run([*argv, "update"], failure, cwd=work, env=env)
    run([*argv, "download", *packages], failure, cwd=work, env=env)
    archives = list(work.glob("*.deb"))
    if len(archives) != len(packages):
        raise ServiceError(f"{failure}: got {len(archives)} of {len(packages)} packages")
    return archives


def _configure(mirror: str, suite: str, work: Path) -> Path:
    for folder in ("lists/partial", "archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    (work / "status").touch()
    keyrings = [Path("/usr/share/keyrings") / name for name in _KEYRINGS]
    signed = next((f"[signed-by={path}] " for path in keyrings if path.exists()), "")
    (work / "sources.list").write_text(f"deb {signed}{mirror} {suite} main\n")
    config = work / "apt.conf"
    config.write_text(
        # The machine's proxies stay in force, its hooks must not run.
        "#clear APT::Update::Post-Invoke;\n"
        "#clear APT::Update::Post-Invoke-Success;\n"
        "#clear APT::Update::Pre-Invoke;\n"
        f'Dir::State "{work}";\n'
        f'Dir::State::lists "{work}/lists";\n'
        f'Dir::State::status "{work}/status";\n'
        f'Dir::Cache "{work}";\n'
        f'Dir::Cache::archives "{work}/archives";\n'
        f'Dir::Etc::sourcelist "{work}/sources.list";\n'
        'Dir::Etc::sourceparts "/dev/null";\n'
        'Dir::Etc::preferences "/dev/null";\n'
        'Dir::Etc::preferencesparts "/dev/null";\n'
        # A failed index is an error; by default apt would continue with the others.
        'APT::Update::Error-Mode "any";\n'
        'Acquire::Languages "none";\n'
        'Acquire::Retries "2";\n'
        'APT::Sandbox::User "root";\n'
    )
    return config
