"""Monitors of one column, one a file: what they compare, and the laws of their statistics."""
