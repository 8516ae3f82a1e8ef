"""Features of recorded events, by a bounded run of the job."""
