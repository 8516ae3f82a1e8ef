"""Starts the JVM of a local Flink run so that no other user of the machine can use it.

PyFlink would start it with an open gateway: anybody who connects to its port can run any Java code
as this user. Here the gateway requires a token, Flink's ports require a certificate, and Python
workers connect through Unix sockets.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from py4j.java_gateway import GatewayParameters, JavaGateway
from py4j.protocol import Py4JJavaError
from pyflink import java_gateway, pyflink_gateway_server
from pyflink.util.exceptions import install_exception_handler, install_py4j_hooks

from driftline.config import Config
from driftline.environment import without_secrets
from driftline.errors import DriftlineError, ServiceError
from driftline.private_files import private_folder
from driftline.streaming.jvm import worker_environment
from driftline.streaming.jvm.java import compiled
from driftline.streaming.jvm.reporters import reporter_jars
from driftline.streaming.jvm.run_folder import run_folder, temporary_folder
from driftline.streaming.jvm.transport_security import secured

_MAIN = "org.apache.flink.api.python.shaded.py4j.GatewayServer"
_END_SECONDS = 30.0
_RESOURCES = Path(__file__).parent


@contextmanager
def flink_jvm(config: Config) -> Iterator[dict[str, str]]:
    """Run a JVM for this process's table environments, until the block or the process ends.

    If Flink itself started this process (`flink run -py`), its own JVM is used.

    Yields Flink's settings for a mini cluster in that JVM.

    Raises:
        ServiceError: the JVM does not start.
        DriftlineError: the block raised a Java exception; with its text.
    """
    if "PYFLINK_GATEWAY_PORT" in os.environ:
        yield {}
        return
    with run_folder(config.folder("run")) as folder:
        temporary = temporary_folder(folder)
        classes = private_folder(temporary / "classes")  # Java ignores folders created later
        process = _start(config, folder, temporary, classes)
        try:
            _override_beam(_connect(process), classes)
            yield {
                "io.tmp.dirs": str(temporary),
                "python.tmpdir": str(temporary),
                **secured(temporary),
            }
        except Py4JJavaError as error:  # read its text before the JVM ends
            raise DriftlineError(str(error)) from None
        finally:
            _end(process)


def jvm_arguments(config: Config) -> list[str]:
    """Options of `java` for a local run."""
    return [
        # Flink generates a single long method for a feature query
        "-XX:-DontCompileHugeMethods",
        f"-Xmx{config.flink.memory}",
        "-XX:+UseParallelGC",
        "-XX:MaxDirectMemorySize=512m",
        "--add-opens=java.base/java.util=ALL-UNNAMED",
        "--add-opens=java.base/java.lang=ALL-UNNAMED",
    ]


def _start(config: Config, folder: Path, temporary: Path, classes: Path) -> "subprocess.Popen[str]":
    variables = without_secrets(os.environ, config.flink.environment)
    variables |= worker_environment.save_for_workers(folder)
    variables["LOG4J_PROPERTIES"] = str(_RESOURCES / "job-log4j.properties")
    pyflink_gateway_server.prepare_environment_variables(variables)
    class_path = [
        str(classes),  # before Flink's jars, so that its classes override theirs
        *_entries(pyflink_gateway_server.construct_flink_classpath(variables)),
        *_entries(pyflink_gateway_server.construct_hadoop_classpath(variables)),
        *map(str, reporter_jars(config.flink.properties)),
    ]
    command = [
        pyflink_gateway_server.find_java_executable(),
        *jvm_arguments(config),
        # warnings on standard output would come before the port and the token
        *("-Xlog:disable", "-Xlog:all=warning:stderr"),
        f"-Djava.io.tmpdir={temporary}",
        f"-Djava.util.logging.config.file={_RESOURCES / 'job-logging.properties'}",
        "-XX:+IgnoreUnrecognizedVMOptions",
        *pyflink_gateway_server.get_jvm_opts(variables),
        *pyflink_gateway_server.construct_log_settings(variables),
        *("-cp", os.pathsep.join(class_path)),
        *(_MAIN, "--die-on-broken-pipe", "--enable-auth", "0"),
    ]
    try:
        return subprocess.Popen(
            command,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            umask=0o077,
        )
    except OSError as error:
        raise ServiceError(f"can't run {command[0]!r}: {error.strerror}") from error


def _entries(class_path: str) -> list[str]:
    """The entries of a class path, without empty ones, which mean the current folder."""
    return [entry for entry in class_path.split(os.pathsep) if entry]


def _connect(process: "subprocess.Popen[str]") -> JavaGateway:
    assert process.stdout is not None
    lines = (line.strip() for line in process.stdout)
    port = next(filter(str.isdecimal, lines), None)
    token = next(lines, None)
    if port is None or token is None:
        raise ServiceError(f"Flink's JVM exited with code {process.wait()} (see its output)")
    threading.Thread(target=_forward, args=[process.stdout], daemon=True).start()
    parameters = GatewayParameters(port=int(port), auth_token=token, auto_convert=True)
    gateway = JavaGateway(gateway_parameters=parameters)
    # else PyFlink, which does not know this gateway, starts an open one at the first Java error
    java_gateway._gateway = gateway
    os.environ["PYFLINK_GATEWAY_DISABLED"] = "true"
    java_gateway.import_flink_view(gateway)
    install_exception_handler()
    install_py4j_hooks()
    return gateway


def _end(process: "subprocess.Popen[str]") -> None:
    if java_gateway._gateway is not None:
        java_gateway._gateway.shutdown()  # objects that are freed later would still call the JVM
    assert process.stdin is not None
    process.stdin.close()  # makes the JVM exit
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _forward(output: IO[str]) -> None:
    for line in output:
        with contextlib.suppress(OSError):  # a full disk must not block the JVM
            sys.stdout.write(line)


def _override_beam(gateway: JavaGateway, classes: Path) -> None:
    """Compile our class into the class path, before the JVM loads Beam's own class.

    Raises:
        ServiceError: the JVM still loads Beam's own class, which would open ports.
    """
    for name, code in compiled(gateway, _RESOURCES / "BeamSockets.java").items():
        path = classes.joinpath(*name.split(".")).with_suffix(".class")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(code)
        domain = gateway.jvm.java.lang.Class.forName(name).getProtectionDomain()
        origin = domain.getCodeSource().getLocation().getPath()
        if Path(origin) != classes:
            raise ServiceError(
                f"Flink's JVM loads {name} from {origin!r}: workers would connect by open ports"
            )
