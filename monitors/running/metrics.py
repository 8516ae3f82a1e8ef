"""The runner's own state for Prometheus, on loopback only."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server


class Metrics:
    """What one runner measures of itself."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.windows = Counter(
            "driftline_windows_judged", "Windows that were judged.", registry=self.registry
        )
        self.revised = Counter(
            "driftline_windows_revised", "Windows judged again.", registry=self.registry
        )
        self.errors = Counter(
            "driftline_monitor_errors", "Rounds of a model that failed.", registry=self.registry
        )
        self.sent = Counter(
            "driftline_notifications", "Messages that left the outbox.", registry=self.registry
        )
        self.lag = Gauge(
            "driftline_monitor_lag_seconds", "Oldest window that waits.", registry=self.registry
        )
        self.models = Gauge(
            "driftline_monitor_models", "Models that are judged here.", registry=self.registry
        )
        self.shards = Gauge(
            "driftline_monitor_shards", "Shards that are owned.", registry=self.registry
        )
        self.beat = Gauge(
            "driftline_monitor_beat_timestamp", "Last good round.", registry=self.registry
        )
        self.round = Histogram(
            "driftline_monitor_round_seconds", "One model's round.", registry=self.registry
        )

    def serve(self, port: int) -> None:
        """Answer at http://127.0.0.1:port/metrics, in a thread."""
        start_http_server(port, addr="127.0.0.1", registry=self.registry)
