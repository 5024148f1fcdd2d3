"""Exact numbers of money and quantity: how many decimal places they have, and how they are printed."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer, WithJsonSchema

CURRENCIES = {"USD": 2, "EUR": 2, "CAD": 2, "AUD": 2, "JPY": 0}
"""Currency (ISO 4217) -> decimal places of its amounts; converted amounts are rounded half up to these."""

_CODES = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
    "CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK "
    "HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LTL LVL LYD "
    "MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG "
    "QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD "
    "TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW CYP EEK MTL ROL SIT SKK TRL"
)
ISO_4217 = frozenset(_CODES.split())
"""Codes of currencies, those that the euro has replaced since 1999 too."""

_WITHOUT_COINS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG ROL RWF TRL UGX VND VUV XAF XOF XPF"
_WITH_THREE_PLACES = "BHD IQD JOD KWD LYD OMR TND"
_MINOR_UNITS = dict.fromkeys(_WITHOUT_COINS.split(), 0) | dict.fromkeys(_WITH_THREE_PLACES.split(), 3)


def minor_units(currency: str) -> int:
    """Return the decimal places of a currency's smallest coin."""
    return _MINOR_UNITS.get(currency, 2)


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


def readable(amount: Decimal) -> str:
    """Return an amount with two decimals, or as many more as it needs: nothing is rounded for the eye."""
    whole, _, decimals = f"{amount:,f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def number(quantity: Decimal) -> int | float:
    """Return a quantity as a JSON number: 6 for 6.0000; a fraction of four places survives as a float's digits."""
    return int(quantity) if quantity == quantity.to_integral_value() else float(quantity)


Money = Annotated[Decimal, AfterValidator(printed)]
"""An amount as it is told to people and programs."""

Quantity = Annotated[Decimal, PlainSerializer(number, when_used="json"), WithJsonSchema({"type": "number"})]
"""A quantity, or a sum of them, as it is told to people and programs."""
