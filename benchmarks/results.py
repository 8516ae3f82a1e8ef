"""Results: a table to read, and a file with a key for each figure to compare with later."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table

from benchmarks.latency import Latency
from benchmarks.observe import Rate
from benchmarks.processes import machine
from benchmarks.scoring import Scoring
from benchmarks.soak import Memory
from benchmarks.swap import Swap

# Ratios of medians: key -> (numerator, denominator, goal, title).
RATIOS = {
    "stream.vs_plain_loop": ("profiles", "plain", 1.0, "with profiles against the plain loop"),
    "stream.vs_per_record": ("profiles", "per_record", 80.0, "with profiles against per record"),
    "stream.bad_events_ratio": ("bad", "profiles", 0.8, "1 % bad events against none"),
    "stream.output_ratio": ("output", "profiles", None, "with output topic against without"),
    "stream.profiles_ratio": ("profiles", "bare", None, "with profiles against without"),
    "stream.shadow_ratio": ("shadow", "profiles", None, "with one shadow against without"),
    "stream.parallel_ratio": ("parallel", "profiles", None, "parallelism 2 against 1"),
    "stream.vs_plain_loops": ("parallel", "plain_twice", None, "parallelism 2 against two loops"),
}
# Figures without a stream: key -> (goal, whether it is a minimum, unit, title).
GOALS = {
    "monitors.vs_evidently": (100.0, True, "x", "speed against Evidently, a day of 1 million x 20"),
    "monitors.day_seconds_1e8": (1.0, False, " s", "evaluation of a day of 100 million x 50"),
    "monitors.flatness": (1.2, False, "x", "time of a day of 100 million against one of 100,000"),
    "monitors.models_per_5min": (1_000.0, True, "", "models x 20 evaluated in 5 minutes"),
    "monitors.notify_seconds": (10.0, False, " s", "from the end of the lateness to the receiver"),
    "grafana.generate_500_seconds": (10.0, False, " s", "generation of dashboards for 500 models"),
}
P99_GOAL_MS = 250.0
GROWTH_GOAL = 1.1
SWAP_GOAL_SECONDS = 10.0
SWAP_THROUGHPUT_GOAL = 0.8
SHADOW_COST_GOAL = 1.0
OVERHEAD_GOAL = 1.1


@dataclass
class Results:
    """All figures of one run.

    Attributes:
        titles: variant name -> title.
        rates: variant name -> its measurements, one per round.
        latency: variant name, "profiles" or "output" -> latency.
        more: key -> figure, of benchmarks without a stream.
        tables: key -> results with more than one figure.
    """

    titles: Mapping[str, str]
    rates: dict[str, list[Rate]] = field(default_factory=dict)
    latency: dict[str, Latency] = field(default_factory=dict)
    memory: Memory | None = None
    swap: Swap | None = None
    scoring: Scoring | None = None
    more: dict[str, float] = field(default_factory=dict)
    tables: dict[str, object] = field(default_factory=dict)

    def add(self, variant: str, rate: Rate) -> None:
        """Add a round of a variant."""
        self.rates.setdefault(variant, []).append(rate)

    def speed(self, variant: str) -> float:
        """Median events per second."""
        return statistics.median(rate.per_second for rate in self.rates[variant])

    def figures(self) -> dict[str, float]:
        """Figures by key, without those of benchmarks that did not run."""
        figures = {f"stream.{name}.events_per_second": self.speed(name) for name in self.rates}
        if "profiles" in self.rates:
            figures["stream.events_per_second"] = self.speed("profiles")
        for key, (numerator, denominator, *_) in RATIOS.items():
            if numerator in self.rates and denominator in self.rates:
                figures[key] = self.speed(numerator) / self.speed(denominator)
        for name, latency in self.latency.items():
            head = "stream" if name == "profiles" else f"stream.{name}"
            figures |= {f"{head}.p50_ms": latency.p50_ms, f"{head}.p99_ms": latency.p99_ms}
        if self.swap is not None:
            figures["registry.swap_seconds"] = self.swap.seconds["promoted"]
            figures["registry.rollback_seconds"] = self.swap.seconds["rolled_back"]
            figures["registry.swap_throughput_ratio"] = self.swap.throughput_ratio
            figures["registry.swap_events_per_second"] = self.swap.events_per_second
        if self.scoring is not None:
            figures["registry.shadow_cost_ratio"] = self.scoring.shadow_cost_ratio
            figures["registry.runtime_overhead_ratio"] = self.scoring.overhead_ratio
        if self.memory is not None:
            for process in ("jvm", "workers"):
                figures[f"stream.memory.{process}_mb"] = self.memory.late_mb[process]
                figures[f"stream.memory.{process}_growth"] = self.memory.growth(process)
        return figures | self.more

    def write(self, path: Path, setting: Mapping[str, object]) -> None:
        """Write the figures, the settings and the machine; keys of other benchmarks are kept."""
        path.parent.mkdir(parents=True, exist_ok=True)
        previous = json.loads(path.read_text()) if path.is_file() else {}
        rounded = {key: float(f"{value:.4g}") for key, value in self.figures().items()}
        setup = {"stream.setting": dict(setting), "machine": machine()}
        content = previous | rounded | self.tables | setup
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")

    def show(self) -> RenderableType:
        """The tables of rates and of goals."""
        return Group(self._rates(), self._goals())

    def _rates(self) -> Table:
        table = Table(title="events per second, from the first to the last committed row")
        table.add_column("")
        for head in ("events/s, median", "all rounds", "CPU s per million: client", "database"):
            table.add_column(head, justify="right")
        for name, rates in self.rates.items():
            client, database = (
                statistics.median(getattr(rate.cpu, process) / rate.events * 1e6 for rate in rates)
                for process in ("client", "database")
            )
            rounds = " ".join(f"{rate.per_second:,.0f}" for rate in rates)
            cells = (f"{self.speed(name):,.0f}", rounds, f"{client:,.1f}", f"{database:,.1f}")
            table.add_row(self.titles[name], *cells)
        return table

    def _goals(self) -> Table:
        figures = self.figures()
        table = Table("", "goal", title="goals")
        table.add_column("measured", justify="right")
        for key, (_, _, goal, title) in RATIOS.items():
            if key in figures:
                _row(table, title, figures[key], goal, "x", at_least=True)
        for name, latency in self.latency.items():
            title = f"event to readable row, {self.titles[name]}"
            goal = P99_GOAL_MS if name == "profiles" else None
            _row(table, f"{title}: p50", latency.p50_ms, None, " ms")
            _row(table, f"{title}: p99", latency.p99_ms, goal, " ms")
        if self.swap is not None:
            for change, seconds in self.swap.seconds.items():
                title = f"{change.replace('_', ' ')}: until the first row of the version"
                _row(table, title, seconds, SWAP_GOAL_SECONDS, " s")
            ratio = self.swap.throughput_ratio
            title = "events/s during swaps, against before"
            _row(table, title, ratio, SWAP_THROUGHPUT_GOAL, "x", at_least=True)
        if self.scoring is not None:
            title = "a shadow's scoring, against its model's time"
            _row(table, title, self.scoring.shadow_cost_ratio, SHADOW_COST_GOAL, "x")
            title = "a call in process, against a bare serve(x)"
            _row(table, title, self.scoring.overhead_ratio, OVERHEAD_GOAL, "x")
        if self.memory is not None:
            for process, label in (("jvm", "JVM"), ("workers", "Python workers")):
                growth = self.memory.growth(process)
                late_mb = f"{self.memory.late_mb[process]:,.0f} MB"
                title = f"memory of the {label}, {late_mb}, late against early"
                _row(table, title, growth, GROWTH_GOAL, "x")
        for key, (goal, is_minimum, unit, title) in GOALS.items():
            if key in self.more:
                _row(table, title, self.more[key], goal, unit, at_least=is_minimum)
        return table


def _row(
    table: Table, title: str, value: float, goal: float | None, unit: str, *, at_least: bool = False
) -> None:
    if goal is None:
        table.add_row(title, "", f"{value:,.3g}{unit}")
        return
    met = value >= goal if at_least else value <= goal
    sign = "at least" if at_least else "at most"
    colour = "green" if met else "red"
    table.add_row(title, f"{sign} {goal:g}{unit}", f"[{colour}]{value:,.3g}{unit}[/{colour}]")
