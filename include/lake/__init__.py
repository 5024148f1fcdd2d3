"""The lake: how Spark works on it, and the aggregates made from it."""
