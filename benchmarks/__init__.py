"""Benchmarks of driftline on real services: `make bench`."""
