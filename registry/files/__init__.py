"""The files of a model version, in MLflow and on the local disk."""
