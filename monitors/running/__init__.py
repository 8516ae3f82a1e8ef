"""The process that judges windows as they end."""
