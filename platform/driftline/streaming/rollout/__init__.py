"""Which versions serve: followed in the registry, loaded, swapped."""
