"""Exact numbers of money and quantity: how many decimal places they have, and how they are printed."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer, WithJsonSchema

CURRENCIES = {"USD": 2, "EUR": 2, "CAD": 2, "AUD": 2, "JPY": 0}
"""Currency (ISO 4217) -> decimal places of its amounts; converted amounts are rounded half up to these."""

MONEY_PLACES = 6
"""Decimal places of prices and amounts; a line that needs more is kept out, never rounded."""

QUANTITY_PLACES = 4
"""Decimal places of quantities."""

MONEY_LIMIT = Decimal(10**12)
"""What the amount of a line stays below, so that 18 digits hold it."""

PRINTED_PLACES = 4
"""Decimal places after which zeros are left out."""


def printed(amount: Decimal) -> Decimal:
    """Return an amount without the zeros beyond its fourth decimal place: 15.3000 for 15.300000."""
    whole, _, decimals = f"{amount:f}".partition(".")
    kept = decimals[:PRINTED_PLACES] + decimals[PRINTED_PLACES:].rstrip("0")
    return Decimal(f"{whole}.{kept}") if len(kept) < len(decimals) else amount


def number(quantity: Decimal) -> int | float:
    """Return a quantity as a JSON number: 6 for 6.0000; a fraction of four places survives as a float's digits."""
    return int(quantity) if quantity == quantity.to_integral_value() else float(quantity)


Money = Annotated[Decimal, AfterValidator(printed)]
"""An amount as it is told to people and programs."""

Quantity = Annotated[Decimal, PlainSerializer(number, when_used="json"), WithJsonSchema({"type": "number"})]
"""A quantity, or a sum of them, as it is told to people and programs."""
