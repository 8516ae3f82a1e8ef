"""Feature queries in Flink SQL."""
