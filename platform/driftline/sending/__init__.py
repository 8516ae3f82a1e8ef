"""Events and labels from files, or made up, for the topics of a model."""
