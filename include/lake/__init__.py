"""The lake: how Spark works on it."""
