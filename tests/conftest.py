"""The real services that tests share, and databases of their own on them."""

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler.loadfile import LoadFileScheduling

from driftline.config import Config
from driftline.private_files import private_folder
from driftline.services.files import file_lock
from driftline.services.stack import Stack
from tests import databases, monitored, serving
from tests.databases import Databases
from tests.leftovers import pytest_configure, pytest_sessionfinish

__all__ = ["pytest_configure", "pytest_sessionfinish"]  # hooks

# no test asserts a time; what a property meets is the same in every run
settings.register_profile("driftline", deadline=None, derandomize=True)
settings.load_profile("driftline")

# seconds a file takes, written by `DRIFTLINE_DURATIONS=write make test`
_DURATIONS = Path(__file__).with_name("durations.json")
_LAST_LINES = 30


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Deal tests to workers by file, instead of `--dist`: a file's fixtures are made once."""
    return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, so that the workers end together."""
    if seed := os.environ.get("DRIFTLINE_TEST_SEED"):  # to see that the order does not matter
        random.Random(seed).shuffle(items)  # noqa: S311
        return
    durations = json.loads(_DURATIONS.read_text())
    items.sort(key=lambda item: -durations.get(item.nodeid.partition("::")[0], 0))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write down how long each file took, where that is asked for."""
    if os.environ.get("DRIFTLINE_DURATIONS") != "write":
        return
    durations: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                file = report.nodeid.partition("::")[0]
                durations[file] = durations.get(file, 0) + report.duration
    rounded = {file: round(seconds) for file, seconds in sorted(durations.items()) if seconds > 1}
    _DURATIONS.write_text(json.dumps(rounded, indent=1) + "\n")


def _states(fixture: object) -> Iterator[Path]:
    """The state folders of the services and jobs that a fixture is made of."""
    for part in (fixture, getattr(fixture, "config", None), getattr(fixture, "job", None)):
        if isinstance(part, Stack):
            yield part.folder
        elif isinstance(part, Config):
            yield part.state
    if isinstance(folder := getattr(fixture, "folder", None), Path):
        yield folder / "state"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show with a failure the end of the logs of the services and jobs that it used."""
    report: pytest.TestReport = yield  # type: ignore[assignment]  # pluggy's protocol
    if report.failed and isinstance(item, pytest.Function):
        states = {state for value in item.funcargs.values() for state in _states(value)}
        for path in sorted(path for state in states for path in state.glob("logs/**/*.log")):
            lines = path.read_text(errors="replace").splitlines()[-_LAST_LINES:]
            report.sections.append((f"the end of {path}", "\n".join(lines)))
    return report  # type: ignore[return-value]


# Flink's JVMs live for a minute here: to compile well what they run costs more than it saves, and
# to verify the classes of Flink's own jars a tenth of their start
os.environ["JDK_JAVA_OPTIONS"] = (
    "-XX:TieredStopAtLevel=1 -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
)
# how wide the terminal is, which xdist makes up for its workers, is no part of a test
os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Stack]:
    """The running stack of all workers, with its own data; the last one to leave stops it.

    `DRIFTLINE_TEST_STATE` names a state folder whose stack is used, and left running, instead.
    """
    if kept := os.environ.get("DRIFTLINE_TEST_STATE"):
        yield _running(Path(kept))
        return
    base = tmp_path_factory.getbasetemp()
    folder = private_folder((base if worker_id == "master" else base.parent) / "stack")
    using = private_folder(folder / "using") / worker_id
    with file_lock(folder / "lock"):
        using.touch()
        running = _running(folder / "state")
    yield running
    with file_lock(folder / "lock"):
        using.unlink()
        if not any(using.parent.iterdir()):
            running.down()


def _running(state: Path) -> Stack:
    stack = Stack(state)
    stack.up()
    databases.settle(stack)
    return stack


@pytest.fixture(scope="session")
def model_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server that speaks TensorFlow Serving's protocol."""
    with serving.running(tmp_path_factory.mktemp("kserve") / "log") as url:
        yield url


@pytest.fixture
def addresses(stack: Stack) -> dict[str, Any]:
    """Where the services of the shared stack are: the content of its `stack.json`."""
    content: dict[str, Any] = json.loads((stack.folder / "stack.json").read_text())
    return content


@pytest.fixture(scope="session")
def empty_database(stack: Stack) -> Iterator[Callable[[], Config]]:
    """Makes databases as the stack does: owned by `migrate`, with the extension, else empty."""
    config, made = Config(state=stack.folder), Databases(stack)

    def make() -> Config:
        address = config.local_postgres()
        postgres = address.model_copy(update={"database": made.make()})
        return config.model_copy(update={"postgres": postgres, "kafka": config.local_kafka()})

    yield make
    if "DRIFTLINE_TEST_STATE" in os.environ:  # else they go with the stack
        made.drop()


@pytest.fixture(scope="session")
def monitored_store(empty_database: Callable[[], Config]) -> Config:
    """A database with two models, three days of traffic and what the monitors made of it."""
    config = monitored.migrated(empty_database())
    monitored.fill(config)
    return config
