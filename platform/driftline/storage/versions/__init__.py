"""Model versions: the decisions about them, and the live events that they scored."""
