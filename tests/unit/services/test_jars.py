from pathlib import Path

import pytest

from driftline.errors import ServiceError
from driftline.services import jars


def script(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def ignore(_: str) -> None:
    pass


def test_java_is_found() -> None:
    assert jars.java().endswith("java")


def test_no_java_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ServiceError, match=r"program 'java' .*openjdk-17-jre-headless"):
        jars.java()


def test_an_old_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match=r"Java 17 or newer is needed, it reports .*11\.0\.2"):
        jars.java()


def test_a_failing_maven_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "java", "echo 'openjdk version \"21.0.1\" 2023-10-17' >&2")
    script(tmp_path, "mvn", "echo '[ERROR] unknown host'; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DRIFTLINE_CACHE_DIR", str(tmp_path / "cache"))
    message = r"jars of 'kafka' with Maven \(is its repository reachable\?\): \n +\[ERROR\] unknown"
    with pytest.raises(ServiceError, match=message):
        jars.kafka_jars(ignore)


def test_no_maven_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "java", "echo 'openjdk version \"17\" 2021-09-14' >&2")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DRIFTLINE_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(ServiceError, match=r"program 'mvn' .*install it: maven"):
        jars.kafka_jars(ignore)


def test_the_version_is_read_from_the_jar(tmp_path: Path) -> None:
    assert jars.kafka_version(tmp_path) == ""
    (tmp_path / "kafka_2.13-4.4.0.jar").touch()
    assert jars.kafka_version(tmp_path) == "4.4.0"
