"""driftline: monitoring for models that run on event streams."""

__version__ = "0.1.0"
