"""Checks a batch must pass before anything of it is published."""
