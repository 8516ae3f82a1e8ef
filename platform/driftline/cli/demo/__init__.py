"""The demo in a terminal: its progress and its results."""
