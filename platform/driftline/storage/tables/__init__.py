"""The tables: creation, migration, grants and retention."""
