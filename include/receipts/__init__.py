"""The receipt of a run, and how it is accounted for."""
