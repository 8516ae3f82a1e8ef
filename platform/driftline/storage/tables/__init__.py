"""The tables: made, evolved, granted, kept for as long as configured."""
