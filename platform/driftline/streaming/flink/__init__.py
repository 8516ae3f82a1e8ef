"""The Flink job of a model: topology, supervision and metrics."""
