"""The JVM jars, copied by Maven as `pom.xml` states them, and the Java to run them."""

import hashlib
import re
import subprocess
from pathlib import Path

from driftline.errors import ServiceError
from driftline.services.cache import Say, cache_folder, populate
from driftline.services.run import find_program, run

JAVA = 17


def java() -> str:
    """The path of a Java that is new enough.

    Raises:
        ServiceError: there is none on PATH, or it is older than 17.
    """
    package = f"openjdk-{JAVA}-jre-headless"
    program = find_program("java", package)
    answer = subprocess.run(  # Java prints its version to stderr
        [program, "-version"], capture_output=True, text=True, check=False
    ).stderr
    match = re.search(r'version "(\d+)', answer)
    if match is None or int(match[1]) < JAVA:
        version = answer.splitlines()[0] if answer else "nothing"
        raise ServiceError(
            f"can't use {program!r}: Java {JAVA} or newer is needed, it reports {version!r}"
            f" (install {package})"
        )
    return program


def kafka_jars(say: Say) -> Path:
    """The folder with the broker's jars, fetched at the first call."""
    return _jars("kafka", say)


def flink_connector_jars(say: Say) -> Path:
    """The folder with the streaming job's Kafka connector, fetched at the first call."""
    return _jars("flink", say)


def kafka_version(folder: Path) -> str:
    """The broker's version, from its jar's name; empty when there is no such jar."""
    names = (re.fullmatch(r"kafka_[\d.]+-(.+)\.jar", jar.name) for jar in folder.glob("kafka_*"))
    return next((name[1] for name in names if name), "")


def _jars(profile: str, say: Say) -> Path:
    pom = _pom()
    key = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]

    def build(folder: Path) -> None:
        say(f"downloading the jars of {profile} with Maven")
        java()
        argv = [find_program("mvn", "maven"), "-q", "-B", "-f", str(pom), "-P", profile]
        run(
            [*argv, "dependency:copy-dependencies", f"-DoutputDirectory={folder}"],
            f"can't get the jars of {profile!r} with Maven (is its repository reachable?)",
            cwd=folder,
        )
        if not list(folder.glob("*.jar")):
            raise ServiceError(f"can't get the jars of {profile!r}: Maven copied none")

    return populate(cache_folder() / f"{profile}-jars-{key}", build, megabytes=200, say=say)


def _pom() -> Path:
    """`pom.xml` beside this file in an installed package, at the top of a clone."""
    here = Path(__file__).resolve()
    candidates = [here.with_name("pom.xml"), here.parents[3] / "pom.xml"]
    for path in candidates:
        if path.is_file():
            return path
    raise ServiceError(f"can't find pom.xml: neither {str(candidates[0])!r} nor in a clone")
