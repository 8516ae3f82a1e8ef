"""What monitors write and read: references, verdicts, incidents, notifications."""
