"""Checks of model files for unsafe content, before they are loaded."""
