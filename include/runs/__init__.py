"""Runs: what they claim from the landing folder, what they own, and what they leave for each other."""
