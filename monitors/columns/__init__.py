"""Monitors of one column, one per file: their statistics and null distributions."""
