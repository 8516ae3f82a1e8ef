"""The generated dashboards."""
