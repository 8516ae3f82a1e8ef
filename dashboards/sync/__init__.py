"""Synchronise Grafana with the generated objects: plan, merge, apply."""
