"""From messages to scored rows; knows neither Flink nor the registry."""
