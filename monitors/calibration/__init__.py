"""From statistics to verdicts: null distributions from the reference, alpha from a budget."""
