"""Monitors and reports on bounded samples of raw rows: Evidently, multivariate drift."""
