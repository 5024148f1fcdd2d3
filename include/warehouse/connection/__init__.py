"""Connections to the warehouse's server."""
