"""Predictions, labels and rejected messages, each logged once."""
