"""What driftline costs, measured on real services: `make bench`."""
