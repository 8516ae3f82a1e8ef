"""The panels of a model's dashboard, a file for each of its sections."""
