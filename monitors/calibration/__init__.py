"""From statistics to verdicts: laws found from the reference, levels from a budget."""
