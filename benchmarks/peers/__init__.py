"""driftline beside its peers; `make bench-peers`."""
