"""The runner's own metrics for Prometheus, on loopback only."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server


class Metrics:
    """The metrics of one runner."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.windows = Counter(
            "driftline_windows_judged", "Windows judged.", registry=self.registry
        )
        self.rejudged = Counter(
            "driftline_windows_rejudged",
            "Windows judged again, after late events.",
            registry=self.registry,
        )
        self.errors = Counter(
            "driftline_monitor_errors", "Failed rounds of a model.", registry=self.registry
        )
        self.sent = Counter(
            "driftline_notifications", "Notifications sent.", registry=self.registry
        )
        self.lag = Gauge(
            "driftline_monitor_lag_seconds",
            "Age of the oldest window that is due.",
            registry=self.registry,
        )
        self.models = Gauge(
            "driftline_monitor_models", "Models assigned to this runner.", registry=self.registry
        )
        self.shards = Gauge(
            "driftline_monitor_shards", "Shards owned by this runner.", registry=self.registry
        )
        self.heartbeat = Gauge(
            "driftline_monitor_heartbeat_timestamp_seconds",
            "Time of the last successful round.",
            registry=self.registry,
        )
        self.round = Histogram(
            "driftline_monitor_round_seconds",
            "Duration of a round of one model.",
            registry=self.registry,
        )

    def serve(self, port: int) -> None:
        """Serve at http://127.0.0.1:port/metrics, in a thread."""
        start_http_server(port, addr="127.0.0.1", registry=self.registry)
