"""A local web page with the generated dashboards, for a machine without Grafana."""
