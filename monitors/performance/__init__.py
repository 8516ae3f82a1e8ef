"""Model performance: estimated from scores alone, and realised once labels have arrived."""
