"""The building blocks of dashboards and panels."""
