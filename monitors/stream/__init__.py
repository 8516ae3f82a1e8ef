"""Monitors of the stream as a whole."""
