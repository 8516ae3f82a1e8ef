"""Model versions: their decisions, and live events that they scored."""
