"""Comparison with other tools: `make bench ARGS="--only peers"`."""
