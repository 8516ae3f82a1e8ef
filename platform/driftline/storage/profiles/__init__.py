"""Profiles: sums by minute and hour, and the windows that are read from them."""
