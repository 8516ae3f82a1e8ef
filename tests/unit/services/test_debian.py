from pathlib import Path

import pytest

from driftline.errors import ServiceError
from driftline.services import debian
from driftline.services.run import find_program

URIS = """\
'http://vendor/linux/debian/dists/bookworm/InRelease' vendor_bookworm_InRelease 0
'http://mirror/debian/dists/bookworm/InRelease' mirror_bookworm_InRelease 0
'http://mirror/debian/dists/bookworm-updates/InRelease' mirror_bookworm-updates_InRelease 0
'http://mirror/debian-security/dists/bookworm-security/InRelease' mirror_security_InRelease 0
'http://mirror/debian/dists/bookworm/main/binary-amd64/Packages.xz' mirror_Packages 0
"""


def script(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def ignore(_: str) -> None:
    pass


def test_the_archive_comes_before_a_vendors_repository() -> None:
    assert debian.mirrors(URIS) == ["http://mirror/debian/", "http://vendor/linux/debian/"]
    assert debian.mirrors("") == []


def test_no_apt_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ServiceError, match=r"'apt-get' .*give its address in driftline\.yaml"):
        debian.fetch(["libc6"], "trixie", tmp_path, ignore)


def test_no_mirror_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "apt-get", "true")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match="can't find a Debian mirror in this machine's apt"):
        debian.fetch(["libc6"], "trixie", tmp_path, ignore)


def test_a_mirror_that_does_not_answer_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real apt, with a mirror on a port where nobody listens."""
    real = find_program("apt-get", "apt")
    uri = "http://127.0.0.1:9/debian/dists/bookworm/InRelease"
    listing = f"echo \"'{uri}' name 0\""
    body = f'case "$*" in *--print-uris*) {listing};; *) exec {real} "$@";; esac'
    script(tmp_path, "apt-get", body)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    said: list[str] = []
    with pytest.raises(
        ServiceError, match=r"packages of Debian 'trixie' \(is the mirror"
    ) as caught:
        debian.fetch(["libc6"], "trixie", tmp_path, said.append)
    assert "127.0.0.1" in str(caught.value)
    assert said == ["a package mirror failed, trying the next"]


def test_another_architecture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "dpkg", "echo riscv64")
    monkeypatch.setenv("PATH", str(tmp_path))
    debian.architecture.cache_clear()
    with pytest.raises(ServiceError, match=r"architecture 'riscv64', only on amd64, arm64"):
        debian.architecture()
    debian.architecture.cache_clear()
