"""The panels of the model dashboard, one module per section."""
