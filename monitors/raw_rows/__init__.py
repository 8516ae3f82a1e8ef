"""Monitors and reports on a bounded sample of raw rows: Evidently, columns together."""
