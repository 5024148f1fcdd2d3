"""Does nothing: submitted once so that spark-submit resolves the packages it is given."""
