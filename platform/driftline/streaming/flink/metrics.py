"""What a worker tells Flink of its versions; a metrics reporter of Flink's takes it anywhere."""

from collections.abc import Callable

from pyflink.table.udf import FunctionContext

from driftline.streaming.rollout.follow import Follower
from driftline.streaming.rollout.serving import Serving


def announce(context: FunctionContext, model: str, serving: Serving, follower: Follower) -> None:
    """Add the gauges of one worker, in the group `driftline.model.<model>`.

    Flink reads them after each bundle of events, so an idle worker's stay as they were.
    """
    gauges: dict[str, Callable[[], int]] = {
        "champion_version": lambda: serving.now().champion.version,
        "versions_scoring": lambda: 1 + len(serving.now().others()),
        "versions_in_quarantine": follower.in_quarantine,
        "champion_ungated": lambda: int(follower.is_ungated()),
    }
    group = context.get_metric_group().add_group("driftline").add_group("model", model)
    for name, value in gauges.items():
        group.gauge(name, value)
