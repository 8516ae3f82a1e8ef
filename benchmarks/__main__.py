"""`make bench`: compares the streaming job with a plain loop and with one record at a time.

All variants read the same events with the same model, on one local stack, into separate tables
with the same columns and indexes. They take turns, round after round, so that noise on the machine
affects all of them.
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
from benchmarks.observe import Observer, Rate
from benchmarks.peers import alarms
from benchmarks.processes import Processes
from benchmarks.results import Results
from benchmarks.soak import watch_memory
from driftline.services.stack import Stack

CLEAN, BAD, SOAK, PACED = "bench-clean", "bench-bad", "bench-soak", "bench-paced"
BAD_SHARE = 0.01
PER_RECORD_ROWS = 5_000
PACE = 5_000  # events per second
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
    """A variant whose throughput is measured.

    Attributes:
        share: share of the events to measure: windows hold back the last ones.
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
    PER_RECORD: "PyFlink DataStream, one prediction and INSERT per record"
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
    events_: Annotated[int, typer.Option("--events", help="Events in the topic.")] = 1_000_000,
    only: Annotated[list[str] | None, typer.Option(help=f"Run only: {', '.join(ALL)}.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds per variant; the median is reported.")] = 2,
    state: Annotated[Path | None, typer.Option(help="State folder (default: temporary).")] = None,
    soak: Annotated[bool, typer.Option(help="Also measure memory, over 5 x --events.")] = False,
) -> None:
    """Run the benchmarks; prints a table and writes build/bench.json."""
    selected = list(only or ALL[:-1]) + ["soak"] * soak
    if unknown := set(selected) - set(ALL):
        raise typer.BadParameter(
            f"no benchmark {sorted(unknown)[0]!r}: choose from {', '.join(ALL)}"
        )
    warnings.filterwarnings("ignore", module="keras|tensorflow")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # runs the clean-up of child processes
    console = Console()
    results = Results(TITLES)
    context = nullcontext(str(state)) if state else tempfile.TemporaryDirectory(prefix="driftline-")
    with (
        context as folder,
        console.status("starting the stack") as status,
        running(Path(folder).absolute(), status.update) as bench,
    ):
        suite = Suite(bench, results, Processes(Stack(bench.state)), console)
        suite.run(selected, events_, rounds)
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
    """Runs the selected benchmarks, one after the other."""

    bench: Bench
    results: Results
    processes: Processes
    console: Console

    def run(self, selected: list[str], n: int, rounds: int) -> None:
        """Measure throughput in several rounds, everything else once."""
        topics = self._fill(selected, n)
        for number in range(rounds):
            order = [name for name in THROUGHPUT if name in selected]
            # the first variant has the emptier disk cache, so reverse the order every other round
            for name in order if number % 2 == 0 else reversed(order):
                self._throughput(name, THROUGHPUT[name], topics)
        if PER_RECORD in selected:
            self._per_record()
        if "latency" in selected:
            self._latency("profiles")
            self._latency("output")
        if "swap" in selected:
            self._swap(5 * n)
        if "scoring" in selected:
            self._scoring()
        if "grafana" in selected:
            self.results.more |= grafana.measure(self.bench.config)
        if "monitors" in selected:
            self.results.more |= monitors.measure(self.bench.config)
        if "notify" in selected:
            self.results.more |= notify.measure(self.bench.config)
        if "peers" in selected:
            self.results.more |= alarms.ratios(self.bench.config, self.console.print)
            report = self.console.print
            self.results.tables["monitors.real_false_alarms"] = alarms.false_alarms(report)
            self.results.tables["monitors.real_alarms_by_month"] = alarms.by_month(report)
        if "soak" in selected:
            self._soak(5 * n)

    def _fill(self, selected: list[str], n: int) -> dict[str, events.Sent]:
        kafka = self.bench.config.local_kafka()
        topics = {}
        if set(selected) & (set(THROUGHPUT) - {"bad"} | {PER_RECORD}):
            topics[CLEAN] = events.send(kafka, CLEAN, n)
            size = topics[CLEAN].bytes / n
            rate = f"{events.PER_MINUTE:,} per minute of event time"
            self._report(f"{n:,} events of {size:.0f} bytes, {rate}")
        if "bad" in selected:
            topics[BAD] = events.send(kafka, BAD, n, bad=BAD_SHARE)
        return topics

    def _throughput(self, name: str, test: Throughput, topics: dict[str, events.Sent]) -> None:
        section = self.bench.section(test.topic, **test.section)
        model = f"bench-{name.replace('_', '-')}"
        with self.bench.variant(model, section, test.parallelism) as variant:
            if test.loops:
                rate = self._plain(variant, test.loops, topics[test.topic])
            else:
                shadow = swap.shadowed(self.bench, variant) if test.shadow else nullcontext()
                with shadow, job(variant) as thread:
                    sent = topics[test.topic]
                    if test.share < 1:
                        observer = Observer(
                            variant.config, variant.name, thread.is_alive, self.processes
                        )
                        rate = observer.until_count(int(test.share * sent.events))
                    else:
                        rate = self._until_last(variant, thread.is_alive, sent)
        self.results.add(name, rate)
        self._report(f"{test.title}: {rate.per_second:,.0f} events/s")

    def _plain(self, variant: Variant, loops: int, sent: events.Sent) -> Rate:
        arguments = ("benchmarks.plain_loop", str(self.bench.saved_model), f"plain-{uuid.uuid4()}")
        with child(variant, *arguments) as alive:
            if loops == 1:
                return self._until_last(variant, alive, sent)
            with child(variant, *arguments) as also_alive:
                return self._until_last(variant, lambda: alive() and also_alive(), sent)

    def _until_last(self, variant: Variant, alive: Any, sent: events.Sent) -> Rate:
        observer = Observer(variant.config, variant.name, alive, self.processes)
        return observer.until_last(sent.last, sent.events, sent.good)

    def _per_record(self) -> None:
        saved_model = str(self.bench.saved_model)
        with (
            self.bench.variant("bench-per-record", self.bench.section(CLEAN)) as variant,
            child(variant, "benchmarks.per_record", saved_model) as alive,
        ):
            observer = Observer(variant.config, variant.name, alive, self.processes)
            rate = observer.until_count(PER_RECORD_ROWS)
        self.results.add(PER_RECORD, rate)
        self._report(f"{TITLES[PER_RECORD]}: {rate.per_second:,.0f} events/s")

    def _latency(self, name: str) -> None:
        section = self.bench.section(
            PACED, **THROUGHPUT[name].section, stream={"latency": "balanced"}
        )
        section["input"]["time_format"] = "epoch_us"
        events.make_topic(self.bench.config.local_kafka(), PACED)
        with self.bench.variant("bench-latency", section) as variant, job(variant):
            measured = latency.measure(
                variant.config,
                variant.name,
                PACED,
                rate=PACE,
                seconds=PACED_SECONDS,
                warm_up=WARM_UP_SECONDS,
            )
        self.results.latency[name] = measured
        self._report(f"{TITLES[name]}: p50 {measured.p50_ms:.0f} ms, p99 {measured.p99_ms:.0f} ms")

    def _swap(self, n: int) -> None:
        section = self.bench.section(swap.TOPIC)
        with self.bench.variant("bench-swap", section) as variant:
            result = swap.measure(self.bench, variant, n)
        self.results.swap = result
        took = ", ".join(f"{change} {seconds:.1f} s" for change, seconds in result.seconds.items())
        self._report(
            f"time until the version serves: {took}; {result.events_per_second:,.0f} events/s "
            f"during swaps, {result.throughput_ratio:.2f} times the rate before"
        )

    def _scoring(self) -> None:
        with self.bench.variant("bench-scoring", self.bench.section("none")) as variant:
            cost = scoring.measure(self.bench, variant)
        self.results.scoring = cost
        self._report(
            f"CPU time of a shadow: {cost.shadow_ms:.2f} ms per batch, of its model alone: "
            f"{cost.own_ms:.2f} ms; a call with {scoring.CALL_ROWS:,} rows: {cost.call_ms:.2f} ms, "
            f"a bare call: {cost.bare_ms:.2f} ms"
        )

    def _soak(self, n: int) -> None:
        events.send(self.bench.config.local_kafka(), SOAK, n)
        section = self.bench.section(SOAK, **_OUTPUT)
        with self.bench.variant("bench-soak", section) as variant, job(variant) as thread:
            self.results.memory = watch_memory(
                variant.config, variant.name, n, thread.is_alive, self.processes
            )
        self._report(f"memory after {n:,} events, MB: {self.results.memory.late_mb}")

    def _report(self, text: str) -> None:
        self.console.print(f"[dim]·[/dim] {text}", highlight=False)


if __name__ == "__main__":
    typer.run(main)
