"""Flink metrics of a worker's versions; Flink's reporters export them to other systems."""

from collections.abc import Callable

from pyflink.table.udf import FunctionContext

from driftline.streaming.rollout.registry_watcher import RegistryWatcher
from driftline.streaming.rollout.serving import Serving


def add(context: FunctionContext, model: str, serving: Serving, watcher: RegistryWatcher) -> None:
    """Add the gauges of a worker, in the group `driftline.model.<model>`.

    Flink reads them after each bundle of events, so those of an idle worker are not updated.
    """
    gauges: dict[str, Callable[[], int]] = {
        "champion_version": lambda: serving.current().champion.version,
        "versions_scoring": lambda: 1 + len(serving.current().others()),
        "versions_in_quarantine": watcher.quarantined_count,
        "champion_ungated": lambda: int(watcher.is_ungated()),
    }
    group = context.get_metric_group().add_group("driftline").add_group("model", model)
    for name, value in gauges.items():
        group.gauge(name, value)
