"""The demo in a terminal: the job's progress, then a summary."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Thread

from psycopg import sql
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from driftline import names
from driftline.config import Config
from driftline.demo import settings
from driftline.demo.replay import Message, Replay
from driftline.demo.story import Story
from driftline.errors import DriftlineError
from driftline.storage.connection import Connection, connect
from driftline.streaming import progress as job_progress
from driftline.streaming.flink.supervise import Supervisor

_LOOK = 0.5  # seconds
_SPAN = 10.0  # seconds that a rate is of: a commit settles many events at once
_QUIET = 3.0  # seconds without progress after the last message: only open windows still wait
_TAIL = 200  # events that open windows may hold, at most
_STALLED = 600.0  # seconds without progress that no busy machine explains
_PLAIN = 5.0  # seconds between lines where there is no terminal


@dataclass(frozen=True)
class Replayed:
    """The messages to send, and the number of flights among them."""

    replay: Replay
    messages: Iterator[Message]
    flights: int


@dataclass
class Course:
    """Progress of the stream.

    Attributes:
        latest: the last progress that was read.
        seconds: from the first to the last settled message.
        rate: events settled per second over the last seconds.
        fastest: the highest rate.
        version: the last version that served.
        inference_ms, lag_ms: the latest median and 99th percentile.
        served: how many predictions each version has served.
    """

    latest: job_progress.Progress = field(default_factory=job_progress.Progress)
    seconds: float = 0.0
    fastest: float = 0.0
    rate: float = 0.0
    version: int | None = None
    inference_ms: tuple[float, float] | None = None
    lag_ms: tuple[float, float] | None = None
    served: dict[int, int] = field(default_factory=dict)
    _began: float | None = None
    _moved: float = field(default_factory=time.monotonic)
    _history: deque[tuple[float, int]] = field(default_factory=deque)

    def see(self, progress: job_progress.Progress) -> None:
        """Record the latest progress."""
        now = time.monotonic()
        if (progress.events, progress.labels) != (self.latest.events, self.latest.labels):
            self._began = self._began or now
            self.seconds = now - self._began
            self._moved = now
        self._history.append((now, progress.events))
        while len(self._history) > 2 and self._history[1][0] <= now - _SPAN:
            self._history.popleft()
        first, events = self._history[0]
        self.rate = (progress.events - events) / max(now - first, _LOOK)
        self.fastest = max(self.fastest, self.rate)
        self.version = progress.version or self.version
        self.inference_ms = progress.inference_ms or self.inference_ms
        self.lag_ms = progress.lag_ms or self.lag_ms
        self.latest = progress

    @property
    def quiet(self) -> float:
        """Seconds since something was settled."""
        return time.monotonic() - self._moved


class _Failing(Thread):
    """A thread whose error is raised where it is joined."""

    error: BaseException | None = None

    def run(self) -> None:
        try:
            super().run()
        except BaseException as error:  # raised again by `check`
            self.error = error

    def check(self) -> None:
        if self.error is not None:
            raise self.error


def stream(
    console: Console, config: Config, supervisor: Supervisor, replayed: Replayed, story: Story
) -> Course:
    """Run the job over the replay, showing it, until all is settled; then stop it, drained.

    Raises:
        DriftlineError: the job, the replay or the story failed.
    """
    teller = _Failing(target=story.run)
    job = _Failing(target=supervisor.run)
    sender = _Failing(target=replayed.replay.run, args=(replayed.messages,))
    threads = (job, sender, teller)
    for thread in threads:
        thread.start()
    try:
        course = _follow(console, config, job, (sender, teller), replayed)
        with console.status("closing the last windows, taking a savepoint"):
            supervisor.stop(drain=True)
            job.join()
        job.check()
        with connect(config.local_postgres(), "read", autocommit=True) as connection:
            course.see(job_progress.ProgressReader(connection, settings.MODEL).read())
            course.served = _served(connection)
        return course
    finally:
        story.stop.set()
        replayed.replay.stop.set()
        supervisor.stop()
        for thread in threads:
            thread.join()


def _follow(
    console: Console,
    config: Config,
    job: _Failing,
    actors: tuple[_Failing, ...],
    replayed: Replayed,
) -> Course:
    course = Course()
    bar = Progress(
        TextColumn("[bold]flights"), BarColumn(None), MofNCompleteColumn(), TimeElapsedColumn()
    )
    task = bar.add_task("events", total=replayed.flights)
    spoken = 0.0
    with (
        connect(config.local_postgres(), "read", autocommit=True) as connection,
        Live(console=console, auto_refresh=False, transient=True) as shown,
    ):
        reader = job_progress.ProgressReader(connection, settings.MODEL)
        while not _settled(course, actors, replayed):
            for thread in (job, *actors):
                thread.check()
            if not job.is_alive():
                raise DriftlineError("the job ended before the replay did: see its log")
            course.see(reader.read())
            sent = replayed.replay.sent[settings.EVENTS]
            bar.update(task, completed=course.latest.logged)
            if console.is_terminal:
                shown.update(Group(bar, _facts(course, sent)), refresh=True)
            elif time.monotonic() - spoken > _PLAIN:
                spoken = time.monotonic()
                console.print(_line(course, sent, replayed.flights), highlight=False)
            time.sleep(_LOOK)
    return course


def _settled(course: Course, actors: tuple[_Failing, ...], replayed: Replayed) -> bool:
    if any(thread.is_alive() for thread in actors):
        return False
    if course.quiet > _STALLED:
        raise DriftlineError(
            f"the job made no progress for {_STALLED:.0f} s: see its log in the state folder"
        )
    sent = replayed.replay.sent
    left = sent[settings.EVENTS] - course.latest.events
    labelled = course.latest.labels >= sent[settings.LABELS]
    return left == 0 or (left <= _TAIL and labelled and course.quiet > _QUIET)


def _facts(course: Course, sent: int) -> Table:
    latest = course.latest
    table = Table.grid(padding=(0, 3))
    table.add_row("events/s", f"{course.rate:,.0f}", "model version", str(course.version or "-"))
    table.add_row(
        "inference p50 / p99", _millis(course.inference_ms), "rejected", f"{latest.rejected:,}"
    )
    table.add_row(
        "end to end p50 / p99", _millis(course.lag_ms), "duplicates", f"{latest.duplicate:,}"
    )
    table.add_row("lag", f"{max(sent - latest.events, 0):,} events", "labels", f"{latest.labels:,}")
    return table


def _line(course: Course, sent: int, flights: int) -> str:
    latest = course.latest
    return (
        f"{latest.logged:,} of {flights:,} flights, {course.rate:,.0f} events/s, "
        f"lag {max(sent - latest.events, 0):,}, rejected {latest.rejected:,}, "
        f"version {course.version or '-'}"
    )


def _millis(pair: tuple[float, float] | None) -> str:
    return "-" if pair is None else f"{pair[0]:,.1f} / {pair[1]:,.1f} ms"


def _served(connection: Connection) -> dict[int, int]:
    table = sql.Identifier(names.SCHEMA, names.prediction_table(settings.MODEL))
    query = sql.SQL("SELECT model_version, count(*) FROM {} GROUP BY 1 ORDER BY 1")
    return dict(connection.execute(query.format(table)).fetchall())


def summary(course: Course) -> RenderableType:
    """A table of what the job did."""
    latest = course.latest
    mean = latest.events / course.seconds if course.seconds else 0.0
    table = Table("", "", title="the stream", title_justify="left", show_header=False)
    table.add_row("predictions logged", f"{latest.logged:,}")
    table.add_row("labels logged", f"{latest.labels:,}")
    table.add_row("duplicates, rejected", f"{latest.duplicate:,}, {latest.rejected:,}")
    table.add_row("events/s, mean and fastest", f"{mean:,.0f}, {course.fastest:,.0f}")
    table.add_row("inference of a batch, p50 / p99", _millis(course.inference_ms))
    table.add_row("Kafka to stored row, p50 / p99", _millis(course.lag_ms))
    for version, count in course.served.items():
        table.add_row(f"served by version {version}", f"{count:,}")
    return table
