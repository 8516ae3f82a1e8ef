"""From messages to scored rows; independent of Flink."""
