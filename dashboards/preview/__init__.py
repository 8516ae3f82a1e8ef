"""The generated dashboards on a local page, for a machine without Grafana."""
