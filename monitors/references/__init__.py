"""The references that versions are compared with: set, compared, replaced after a burn-in."""
