"""Names of columns that hold amounts beside the goods: discounts, taxes, shipping and other charges."""

from __future__ import annotations

import re
from functools import lru_cache

from include.sources.text import without_accents

_ENDING_LEAST = 5
"""Letters of a word that may end a compound, such as `Bestelldatum` or `itemprice`."""

_PARTS = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def one_of(words: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(words.split())


_REFUNDS = one_of("refund refunds refunded erstattung remboursement reembolso rimborso")

CHARGES: dict[str, str] = {
    "DISCOUNT": "discount discounts rabatt remise descuento sconto korting desconto rebate reduction coupon promo "
    "promotion voucher nachlass skonto ermassigung",
    "TAX": "tax taxes vat gst mwst ust steuer tva iva btw",
    "SHIPPING": "shipping freight postage delivery carriage versand versandkosten port envio spedizione verzendkosten "
    "frete versandpauschale porto",
    "TIP": "tip tips gratuity trinkgeld",
    "FEE": "fee fees surcharge handling",
}
"""Stock code of a charge -> words in the name of its column."""

_NO_AMOUNT = one_of(
    "rate percent percentage pct code codes id number no nr method name type zip postcode phone region province state "
    "city address street company class included inclusive exempt status date at carrier provider service country line "
    "lines allocations"
)
"""Words that make the name of a charge that of something else about it."""


@lru_cache(maxsize=1_000)
def words_of(name: str) -> frozenset[str]:
    """Return the words of a column's name, in lower case without accents."""
    return frozenset(_PARTS.findall(without_accents(_CAMEL.sub(" ", name).replace("_", " "))))


def has_word(words: frozenset[str], known: str) -> bool:
    """Return whether one of `words` is known, or is a compound that ends in a known word of some length."""
    endings = tuple(word for word in known.split() if len(word) >= _ENDING_LEAST)
    return not words.isdisjoint(known.split()) or any(word.endswith(endings) for word in words)


def charge_code(name: str) -> str | None:
    """Return the stock code of the charge that a column seems to hold, None if its name is that of no charge."""
    words = words_of(name)
    if words & (_NO_AMOUNT | _REFUNDS | {"credit", "unit"}):
        return None
    return next((code for code, known in CHARGES.items() if has_word(words, known)), None)


def may_hold_amounts(name: str) -> bool:
    """Return whether a column may hold amounts beside the goods, refunds too."""
    words = words_of(name)
    return charge_code(name) is not None or bool(words & _REFUNDS and not words & _NO_AMOUNT)
