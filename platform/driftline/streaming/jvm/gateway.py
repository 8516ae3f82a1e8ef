"""The JVM of a local Flink run, started so that no other user of the machine can use it.

PyFlink would start it with an open gateway: whoever connects to its port runs any Java code, as
this user. Here the gateway asks for a token, Flink's ports for a certificate, and Python workers
connect by Unix sockets.
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
    """Run a JVM for this process's table environments; it ends with the process, or the block.

    Where Flink itself has started this process (`flink run -py`), its own JVM is used.

    Gives Flink's settings for a mini cluster in that JVM.

    Raises:
        ServiceError: the JVM does not start.
        DriftlineError: the block raised an exception of Java's; with its text.
    """
    if "PYFLINK_GATEWAY_PORT" in os.environ:
        yield {}
        return
    with run_folder(config.folder("run")) as folder:
        temporary = temporary_folder(folder)
        classes = private_folder(temporary / "classes")  # Java would skip what is not there yet
        process = _start(config, folder, temporary, classes)
        try:
            _close_beam(_connect(process), classes)
            yield {
                "io.tmp.dirs": str(temporary),
                "python.tmpdir": str(temporary),
                **secured(temporary),
            }
        except Py4JJavaError as error:  # its text is in the JVM, which ends now
            raise DriftlineError(str(error)) from None
        finally:
            _end(process)


def jvm_arguments(config: Config) -> list[str]:
    """Java's own options for a local run."""
    return [
        # the code that Flink generates for a feature query is one long method
        "-XX:-DontCompileHugeMethods",
        f"-Xmx{config.flink.memory}",
        "-XX:+UseParallelGC",
        "-XX:MaxDirectMemorySize=512m",
        "--add-opens=java.base/java.util=ALL-UNNAMED",
        "--add-opens=java.base/java.lang=ALL-UNNAMED",
    ]


def _start(config: Config, folder: Path, temporary: Path, classes: Path) -> "subprocess.Popen[str]":
    variables = without_secrets(os.environ, config.flink.environment)
    variables |= worker_environment.keep_for_workers(folder)
    variables["LOG4J_PROPERTIES"] = str(_RESOURCES / "job-log4j.properties")
    pyflink_gateway_server.prepare_environment_variables(variables)
    class_path = [
        str(classes),  # before Flink's jars: its classes take the place of theirs
        *_entries(pyflink_gateway_server.construct_flink_classpath(variables)),
        *_entries(pyflink_gateway_server.construct_hadoop_classpath(variables)),
        *map(str, reporter_jars(config.flink.properties)),
    ]
    command = [
        pyflink_gateway_server.find_java_executable(),
        *jvm_arguments(config),
        # its warnings would stand before the port and the token
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
    """Those of a class path; an empty one would mean the current folder."""
    return [entry for entry in class_path.split(os.pathsep) if entry]


def _connect(process: "subprocess.Popen[str]") -> JavaGateway:
    assert process.stdout is not None
    lines = (line.strip() for line in process.stdout)
    port = next(filter(str.isdecimal, lines), None)
    token = next(lines, None)
    if port is None or token is None:
        raise ServiceError(f"Flink's JVM ended with code {process.wait()} (its output says why)")
    threading.Thread(target=_pass_on, args=[process.stdout], daemon=True).start()
    parameters = GatewayParameters(port=int(port), auth_token=token, auto_convert=True)
    gateway = JavaGateway(gateway_parameters=parameters)
    # PyFlink starts an open one as soon as it misses its own, as any error in Java makes it do
    java_gateway._gateway = gateway
    os.environ["PYFLINK_GATEWAY_DISABLED"] = "true"
    java_gateway.import_flink_view(gateway)
    install_exception_handler()
    install_py4j_hooks()
    return gateway


def _end(process: "subprocess.Popen[str]") -> None:
    if java_gateway._gateway is not None:
        java_gateway._gateway.shutdown()  # or what is freed later would still call the JVM
    assert process.stdin is not None
    process.stdin.close()  # by this the JVM ends
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _pass_on(output: IO[str]) -> None:
    for line in output:
        with contextlib.suppress(OSError):  # a full disk must not block the JVM
            sys.stdout.write(line)


def _close_beam(gateway: JavaGateway, classes: Path) -> None:
    """Compile our class into the class path, before the JVM first asks for Beam's own.

    Raises:
        ServiceError: the JVM takes Beam's own nevertheless, which would open ports.
    """
    for name, code in compiled(gateway, _RESOURCES / "BeamSockets.java").items():
        path = classes.joinpath(*name.split(".")).with_suffix(".class")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(code)
        found = gateway.jvm.java.lang.Class.forName(name).getProtectionDomain().getCodeSource()
        if Path(found.getLocation().getPath()) != classes:
            raise ServiceError(
                f"Flink's JVM takes {name} from {found.getLocation().getPath()!r} and not from "
                f"{str(classes)!r}: workers would connect by open ports"
            )
