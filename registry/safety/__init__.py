"""What a model file may hold: checked before it is loaded."""
