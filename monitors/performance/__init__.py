"""How good predictions are: estimated from scores alone, and realised once labels have come."""
