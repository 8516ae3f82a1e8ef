"""`make bench`: the streaming job against a plain loop and against one record at a time.

All variants read the same events with the same model into tables of their own, alike in columns
and indexes, on one local stack; they run in turn, round after round, so that a noisy machine is
noisy for all of them.
"""

import signal
import sys
import tempfile
import uuid
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks import events, grafana, latency, monitors, notify, scoring, swap
from benchmarks.bench import Bench, Variant, running
from benchmarks.child import child
from benchmarks.job import job
from benchmarks.observe import Rate, Watched
from benchmarks.peers import alarms
from benchmarks.processes import Processes
from benchmarks.results import Results
from benchmarks.soak import watch_memory
from driftline.services.stack import Stack

CLEAN, BAD, SOAK, PACED = "bench-clean", "bench-bad", "bench-soak", "bench-paced"
BAD_SHARE = 0.01
PER_RECORD_ROWS = 5_000
PACE = 5_000  # events a second
PACED_SECONDS, WARM_UP_SECONDS = 40.0, 15.0

_OUTPUT = {"output": {"topic": "bench-scored", "delivery": "exactly_once"}}


_QUERY = {
    "query": "SELECT *, f0 * f1 AS product, items > 3 AS many FROM events",
    "columns": {"product": "float", "many": "bool"},
}
_WINDOWS = {
    "query": """SELECT *, COUNT(*) OVER minutes AS n, AVG(f0) OVER minutes AS mean FROM events
                WINDOW minutes AS (PARTITION BY country ORDER BY event_time
                  RANGE BETWEEN INTERVAL '5' MINUTE PRECEDING AND CURRENT ROW)""",
    "columns": {"n": "int", "mean": "float"},
    "out_of_order": "1 s",
}


@dataclass(frozen=True)
class Throughput:
    """A variant of which the rate is measured.

    Attributes:
        share: of the events, until which it is measured: windows keep the last ones.
    """

    title: str
    topic: str = CLEAN
    section: dict[str, Any] = field(default_factory=dict)
    parallelism: int = 1
    loops: int = 0
    share: float = 1.0
    shadow: bool = False


THROUGHPUT = {
    "plain": Throughput("plain Python loop, one process", loops=1),
    "profiles": Throughput("driftline: profiles"),
    "output": Throughput("driftline: profiles, output topic (exactly once)", section=_OUTPUT),
    "bare": Throughput("driftline: no profiles, no output", section={"profiles": False}),
    "shadow": Throughput("driftline: profiles, one shadow", shadow=True),
    "bad": Throughput("driftline: profiles, 1 % bad events", BAD),
    "parallel": Throughput("driftline: profiles, parallelism 2", parallelism=2),
    "query": Throughput(
        "driftline: profiles, feature query", section={"features": {"sql": _QUERY}}
    ),
    "windows": Throughput(
        "driftline: profiles, feature query with windows",
        section={"features": {"sql": _WINDOWS}},
        share=0.95,
    ),
    "plain_twice": Throughput("plain Python loop, two processes", loops=2),
}
PER_RECORD = "per_record"
TITLES = {name: variant.title for name, variant in THROUGHPUT.items()} | {
    PER_RECORD: "PyFlink DataStream, one prediction and INSERT a record"
}
ALL = (
    *THROUGHPUT,
    PER_RECORD,
    "latency",
    "swap",
    "scoring",
    "grafana",
    "monitors",
    "notify",
    "peers",
    "soak",
)


def main(
    events_: Annotated[int, typer.Option("--events", help="events in the topic")] = 1_000_000,
    only: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(ALL)}")] = None,
    rounds: Annotated[int, typer.Option(help="of each rate; medians count")] = 2,
    state: Annotated[
        Path | None, typer.Option(help="folder of the stack; default a new one, deleted after")
    ] = None,
    soak: Annotated[bool, typer.Option(help="watch memory over five times as many events")] = False,
) -> None:
    """Measure the streaming job; prints a table and writes build/bench.json."""
    wanted = list(only or ALL[:-1]) + ["soak"] * soak
    if unknown := set(wanted) - set(ALL):
        raise typer.BadParameter(
            f"no benchmark {sorted(unknown)[0]!r} (there are {', '.join(ALL)})"
        )
    warnings.filterwarnings("ignore", module="keras|tensorflow")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all that was started is ended
    console = Console()
    results = Results(TITLES)
    place = nullcontext(str(state)) if state else tempfile.TemporaryDirectory(prefix="driftline-")
    with (
        place as folder,
        console.status("starting") as status,
        running(Path(folder).absolute(), status.update) as bench,
    ):
        suite = Suite(bench, results, Processes(Stack(bench.state)), console)
        suite.run(wanted, events_, rounds)
    console.print(results.show())
    results.write(Path("build/bench.json"), _setting(events_, rounds))


def _setting(n: int, rounds: int) -> dict[str, object]:
    return {
        "events": n,
        "rounds": rounds,
        "partitions": events.PARTITIONS,
        "events_per_minute_of_event_time": events.PER_MINUTE,
        "fields": len(events.FIELDS),
        "parallelism": 1,
        "indexes": "unique B-tree (event_time, event_id), BRIN (kafka_offset)",
        "batch_rows": 10_000,
        "synchronous_commit": "on",
        "latency_events_per_second": PACE,
        "latency_preset": "balanced",
    }


@dataclass
class Suite:
    """Runs what is wanted, in turn."""

    bench: Bench
    results: Results
    processes: Processes
    console: Console

    def run(self, wanted: list[str], n: int, rounds: int) -> None:
        """Measure, in rounds; what is slow by nature once."""
        topics = self._fill(wanted, n)
        for number in range(rounds):
            order = [name for name in THROUGHPUT if name in wanted]
            # who comes first has the emptier disk cache: let that change
            for name in order if number % 2 == 0 else reversed(order):
                self._throughput(name, THROUGHPUT[name], topics)
        if PER_RECORD in wanted:
            self._per_record()
        if "latency" in wanted:
            self._latency("profiles")
            self._latency("output")
        if "swap" in wanted:
            self._swap(5 * n)
        if "scoring" in wanted:
            self._scoring()
        if "grafana" in wanted:
            self.results.more |= grafana.measure(self.bench.config)
        if "monitors" in wanted:
            self.results.more |= monitors.measure(self.bench.config)
        if "notify" in wanted:
            self.results.more |= notify.measure(self.bench.config)
        if "peers" in wanted:
            self.results.more |= alarms.ratios(self.bench.config, self.console.print)
            say = self.console.print
            self.results.tables["monitors.real_false_alarms"] = alarms.false_alarms(say)
            self.results.tables["monitors.real_alarms_by_month"] = alarms.by_month(say)
        if "soak" in wanted:
            self._soak(5 * n)

    def _fill(self, wanted: list[str], n: int) -> dict[str, events.Sent]:
        kafka = self.bench.config.local_kafka()
        topics = {}
        if set(wanted) & (set(THROUGHPUT) - {"bad"} | {PER_RECORD}):
            topics[CLEAN] = events.send(kafka, CLEAN, n)
            size = topics[CLEAN].bytes / n
            self._say(f"{n:,} events of {size:.0f} bytes, {events.PER_MINUTE:,} a minute of theirs")
        if "bad" in wanted:
            topics[BAD] = events.send(kafka, BAD, n, bad=BAD_SHARE)
        return topics

    def _throughput(self, name: str, wanted: Throughput, topics: dict[str, events.Sent]) -> None:
        section = self.bench.section(wanted.topic, **wanted.section)
        model = f"bench-{name.replace('_', '-')}"
        with self.bench.variant(model, section, wanted.parallelism) as variant:
            if wanted.loops:
                rate = self._plain(variant, wanted.loops, topics[wanted.topic])
            else:
                beside = swap.shadowed(self.bench, variant) if wanted.shadow else nullcontext()
                with beside, job(variant) as thread:
                    sent = topics[wanted.topic]
                    if wanted.share < 1:
                        watched = Watched(
                            variant.config, variant.name, thread.is_alive, self.processes
                        )
                        rate = watched.until_count(int(wanted.share * sent.events))
                    else:
                        rate = self._until_last(variant, thread.is_alive, sent)
        self.results.add(name, rate)
        self._say(f"{wanted.title}: {rate.per_second:,.0f} events/s")

    def _plain(self, variant: Variant, loops: int, sent: events.Sent) -> Rate:
        arguments = ("benchmarks.plain_loop", str(self.bench.saved_model), f"plain-{uuid.uuid4()}")
        with child(variant, *arguments) as alive:
            if loops == 1:
                return self._until_last(variant, alive, sent)
            with child(variant, *arguments) as also_alive:
                return self._until_last(variant, lambda: alive() and also_alive(), sent)

    def _until_last(self, variant: Variant, alive: Any, sent: events.Sent) -> Rate:
        watched = Watched(variant.config, variant.name, alive, self.processes)
        return watched.until_last(sent.last, sent.events, sent.good)

    def _per_record(self) -> None:
        saved_model = str(self.bench.saved_model)
        with (
            self.bench.variant("bench-per-record", self.bench.section(CLEAN)) as variant,
            child(variant, "benchmarks.per_record", saved_model) as alive,
        ):
            watched = Watched(variant.config, variant.name, alive, self.processes)
            rate = watched.until_count(PER_RECORD_ROWS)
        self.results.add(PER_RECORD, rate)
        self._say(f"{TITLES[PER_RECORD]}: {rate.per_second:,.0f} events/s")

    def _latency(self, name: str) -> None:
        section = self.bench.section(
            PACED, **THROUGHPUT[name].section, stream={"latency": "balanced"}
        )
        section["input"]["time_format"] = "epoch_us"
        events.make_topic(self.bench.config.local_kafka(), PACED)
        with self.bench.variant("bench-latency", section) as variant, job(variant):
            found = latency.measure(
                variant.config,
                variant.name,
                PACED,
                rate=PACE,
                seconds=PACED_SECONDS,
                warm_up=WARM_UP_SECONDS,
            )
        self.results.latency[name] = found
        self._say(f"{TITLES[name]}: p50 {found.p50_ms:.0f} ms, p99 {found.p99_ms:.0f} ms")

    def _swap(self, n: int) -> None:
        section = self.bench.section(swap.TOPIC)
        with self.bench.variant("bench-swap", section) as variant:
            found = swap.measure(self.bench, variant, n)
        self.results.swap = found
        took = ", ".join(f"{wish} {seconds:.1f} s" for wish, seconds in found.seconds.items())
        self._say(
            f"seconds until it serves: {took}; {found.events_per_second:,.0f} events/s meanwhile, "
            f"{found.throughput_ratio:.2f} of before"
        )

    def _scoring(self) -> None:
        with self.bench.variant("bench-scoring", self.bench.section("none")) as variant:
            found = scoring.measure(self.bench, variant)
        self.results.scoring = found
        self._say(
            f"a shadow costs {found.shadow_ms:.2f} ms CPU a batch, its own model time is "
            f"{found.own_ms:.2f} ms; a call of {scoring.CALL_ROWS:,} rows {found.call_ms:.2f} ms, "
            f"bare {found.bare_ms:.2f} ms"
        )

    def _soak(self, n: int) -> None:
        events.send(self.bench.config.local_kafka(), SOAK, n)
        section = self.bench.section(SOAK, **_OUTPUT)
        with self.bench.variant("bench-soak", section) as variant, job(variant) as thread:
            self.results.memory = watch_memory(
                variant.config, variant.name, n, thread.is_alive, self.processes
            )
        self._say(f"memory over {n:,} events: {self.results.memory.late_mb}")

    def _say(self, text: str) -> None:
        self.console.print(f"[dim]·[/dim] {text}", highlight=False)


if __name__ == "__main__":
    typer.run(main)
