"""driftline beside its peers; `make bench ARGS="--only peers"`."""
