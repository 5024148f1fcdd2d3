"""Readers of source files: CSV, JSON and PDF into one staging layout."""
