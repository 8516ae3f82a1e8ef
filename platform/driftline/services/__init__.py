"""The local stack: TimescaleDB, Kafka and MLflow as child processes on loopback."""
