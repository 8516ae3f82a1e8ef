"""Grafana kept in step with what is generated: plan, apply, merge."""
