"""Clients, topics and offsets of Kafka, outside of Flink."""
