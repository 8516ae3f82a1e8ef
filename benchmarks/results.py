"""What was measured: one table for people, one file of plain keys for later work to compare."""

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

# Ratios of medians: key -> (above, below, goal, what it says).
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
# Figures of what has no stream: key -> (goal, whether it is a least one, unit, what it says).
GOALS = {
    "monitors.vs_evidently": (100.0, True, "x", "a day of 1 million x 20 against Evidently"),
    "monitors.day_seconds_1e8": (1.0, False, " s", "a day of 100 million x 50 is judged"),
    "monitors.flatness": (1.2, False, "x", "a day of 100 million against one of 100,000"),
    "monitors.models_per_5min": (1_000.0, True, "", "models x 20 judged in 5 minutes"),
    "monitors.notify_seconds": (10.0, False, " s", "from the lateness to the receiver"),
    "grafana.generate_500_seconds": (10.0, False, " s", "dashboards of 500 models"),
}
P99_GOAL_MS = 250.0
GROWTH_GOAL = 1.1
SWAP_GOAL_SECONDS = 10.0
SWAP_THROUGHPUT_GOAL = 0.8
SHADOW_COST_GOAL = 1.0
OVERHEAD_GOAL = 1.1


@dataclass
class Results:
    """All that one run measured.

    Attributes:
        titles: what each variant is, by name.
        rates: its measurements, one a round.
        latency: by variant, "profiles" or "output".
        more: figures by key, of what has no stream.
        tables: what is no single figure, by key.
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
        """One more round of a variant."""
        self.rates.setdefault(variant, []).append(rate)

    def speed(self, variant: str) -> float:
        """Median events a second."""
        return statistics.median(rate.per_second for rate in self.rates[variant])

    def figures(self) -> dict[str, float]:
        """Plain keys; those of what did not run are left out."""
        found = {f"stream.{name}.events_per_second": self.speed(name) for name in self.rates}
        if "profiles" in self.rates:
            found["stream.events_per_second"] = self.speed("profiles")
        for key, (above, below, *_) in RATIOS.items():
            if above in self.rates and below in self.rates:
                found[key] = self.speed(above) / self.speed(below)
        for name, latency in self.latency.items():
            head = "stream" if name == "profiles" else f"stream.{name}"
            found |= {f"{head}.p50_ms": latency.p50_ms, f"{head}.p99_ms": latency.p99_ms}
        if self.swap is not None:
            found["registry.swap_seconds"] = self.swap.seconds["promoted"]
            found["registry.rollback_seconds"] = self.swap.seconds["rolled_back"]
            found["registry.swap_throughput_ratio"] = self.swap.throughput_ratio
            found["registry.swap_events_per_second"] = self.swap.events_per_second
        if self.scoring is not None:
            found["registry.shadow_cost_ratio"] = self.scoring.shadow_cost_ratio
            found["registry.runtime_overhead_ratio"] = self.scoring.overhead_ratio
        if self.memory is not None:
            for who in ("jvm", "workers"):
                found[f"stream.memory.{who}_mb"] = self.memory.late_mb[who]
                found[f"stream.memory.{who}_growth"] = self.memory.growth(who)
        return found | self.more

    def write(self, path: Path, setting: Mapping[str, object]) -> None:
        """Write the figures, the machine and what was on; keys of other benchmarks stay."""
        path.parent.mkdir(parents=True, exist_ok=True)
        known = json.loads(path.read_text()) if path.is_file() else {}
        rounded = {key: float(f"{value:.4g}") for key, value in self.figures().items()}
        content = (
            known | rounded | self.tables | {"stream.setting": dict(setting), "machine": machine()}
        )
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")

    def show(self) -> RenderableType:
        """The tables of rates and of goals."""
        return Group(self._rates(), self._goals())

    def _rates(self) -> Table:
        table = Table(title="events a second, from the first to the last committed row")
        table.add_column("")
        for head in ("events/s, median", "all rounds", "CPU s a million: client", "database"):
            table.add_column(head, justify="right")
        for name, rates in self.rates.items():
            client, database = (
                statistics.median(getattr(rate.cpu, who) / rate.events * 1e6 for rate in rates)
                for who in ("client", "database")
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
            for wish, seconds in self.swap.seconds.items():
                title = f"{wish.replace('_', ' ')}: until the first row of the version"
                _row(table, title, seconds, SWAP_GOAL_SECONDS, " s")
            ratio = self.swap.throughput_ratio
            title = "events/s during swaps, to before"
            _row(table, title, ratio, SWAP_THROUGHPUT_GOAL, "x", at_least=True)
        if self.scoring is not None:
            title, ratio = (
                "a shadow's scoring, to its own model time",
                self.scoring.shadow_cost_ratio,
            )
            _row(table, title, ratio, SHADOW_COST_GOAL, "x")
            title, ratio = "a call in process, to a bare serve(x)", self.scoring.overhead_ratio
            _row(table, title, ratio, OVERHEAD_GOAL, "x")
        if self.memory is not None:
            for who, label in (("jvm", "JVM"), ("workers", "Python workers")):
                growth = self.memory.growth(who)
                title = f"memory of the {label}, {self.memory.late_mb[who]:,.0f} MB, late to early"
                _row(table, title, growth, GROWTH_GOAL, "x")
        for key, (goal, least, unit, title) in GOALS.items():
            if key in self.more:
                _row(table, title, self.more[key], goal, unit, at_least=least)
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
