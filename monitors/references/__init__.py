"""What versions are compared with: set, shown, compared, replaced after a burn-in."""
