"""Source profiles: layouts that are declared in YAML instead of being found by the names of their columns."""
