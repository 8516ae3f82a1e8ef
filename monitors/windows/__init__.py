"""Windows of event time, and what monitors say of them."""
