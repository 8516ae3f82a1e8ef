"""The JVM of a local Flink run, closed to other users of the machine."""
