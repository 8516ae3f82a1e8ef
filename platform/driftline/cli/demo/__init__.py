"""The demo in a terminal: what it does, and what came of it."""
