"""Figures out of measurements."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.latency import Latency
from benchmarks.observe import Rate
from benchmarks.processes import Cpu
from benchmarks.results import Results
from benchmarks.scoring import Scoring
from benchmarks.soak import Memory
from benchmarks.swap import Swap

TITLES = {"plain": "loop", "profiles": "job", "bad": "job, bad events"}


def rate(events: int, seconds: float) -> Rate:
    return Rate(events, seconds, Cpu(2.0, 1.0, 0.5))


@pytest.fixture
def results() -> Results:
    results = Results(TITLES)
    for seconds in (1.0, 2.0, 4.0):
        results.add("profiles", rate(1_000, seconds))
    results.add("plain", rate(1_000, 4.0))
    return results


def test_medians_are_compared(results: Results) -> None:
    figures = results.figures()
    assert figures["stream.events_per_second"] == 500.0
    assert figures["stream.vs_plain_loop"] == 2.0


def test_what_did_not_run_has_no_figure(results: Results) -> None:
    assert "stream.vs_per_record" not in results.figures()
    assert "stream.p99_ms" not in results.figures()


def test_figures_of_versions(results: Results) -> None:
    results.swap = Swap({"promoted": 4.0, "rolled_back": 2.0}, [50_000.0, 30_000.0], [40_000.0] * 2)
    results.scoring = Scoring(own_ms=4.0, shadow_ms=3.0, bare_ms=0.5, call_ms=0.525)
    figures = results.figures()
    registry_figures = {key: value for key, value in figures.items() if key.startswith("registry.")}
    assert registry_figures == pytest.approx(
        {
            "registry.swap_seconds": 4.0,
            "registry.rollback_seconds": 2.0,
            "registry.swap_throughput_ratio": 1.0,
            "registry.swap_events_per_second": 40_000.0,
            "registry.shadow_cost_ratio": 0.75,
            "registry.runtime_overhead_ratio": 1.05,
        }
    )


def test_figures_of_other_benchmarks_stay_in_the_file(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    path.parent.mkdir()
    path.write_text('{"drift.detected": 1.0}')
    results.latency["profiles"] = Latency(10, 20.0, 90.0, 100.0)
    results.write(path, {"events": 1_000})
    written = json.loads(path.read_text())
    assert written["drift.detected"] == 1.0
    assert written["stream.p99_ms"] == 90.0
    assert written["machine"]["cores"] >= 1


def test_the_table_marks_a_goal_that_is_missed(results: Results) -> None:
    results.add("bad", rate(1_000, 100.0))
    results.memory = Memory(
        5_000,
        {"jvm": 100.0, "workers": 100.0},
        {"jvm": 100.0, "workers": 150.0},
        {"jvm": 120.0, "workers": 160.0},
    )
    console = Console(record=True, width=160)
    console.print(results.show())
    shown = console.export_text(styles=True)
    assert "\x1b[31m0.02x" in shown
    assert "\x1b[31m1.5x" in shown
    assert "\x1b[32m2x" in shown
