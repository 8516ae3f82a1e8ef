"""Model versions in MLflow: registering, finding, caching, loading."""
