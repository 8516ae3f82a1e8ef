"""The Flink job of a model: its topology, its life, its metrics."""
