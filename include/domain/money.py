"""Currencies that amounts are converted into."""

from __future__ import annotations

CURRENCIES = {"USD": 2, "EUR": 2, "CAD": 2, "AUD": 2, "JPY": 0}
"""Currency (ISO 4217) -> decimal places of its amounts; converted amounts are rounded half up to these."""
