"""The filter of a question in Typesense's language."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from include.domain.money import MONEY_PLACES
from include.search.entities import Filtered
from include.search.language import identity


def indexed(amount: Decimal) -> int:
    """Return an amount or a quantity as it is indexed: in whole millionths, as the server's floats have 32 bits."""
    return int(amount.scaleb(MONEY_PLACES))


def exact(indexed: int) -> Decimal:
    """Return an indexed amount or quantity."""
    return Decimal(indexed).scaleb(-MONEY_PLACES)


def filter_of(bounds: Filtered) -> str:
    """Return the filter of a question; never empty, as a country or a price bound is mandatory.

    Values are digests and whole numbers: quotes, backticks, `&&`, `||` and brackets in a name change nothing but the
    digest it is compared by.
    """
    parts = [
        f"{field}:={identity(name)}"
        for field, name in (
            ("country_id", bounds.country),
            ("category_id", bounds.category),
            ("brand_id", bounds.brand),
        )
        if name is not None
    ]
    if bounds.price_min is not None:
        parts.append(f"price_median:>={indexed(bounds.price_min)}")
    if bounds.price_max is not None:
        parts.append(f"price_median:<={indexed(bounds.price_max)}")
    return " && ".join(parts)


def among(filter_by: str, ids: Iterable[str]) -> str:
    """Return a filter narrowed to documents by id (hexadecimal digits only)."""
    return f"{filter_by} && id:[{','.join(ids)}]"


def applied(bounds: Filtered) -> dict[str, str]:
    """Return the filters of a question as they were understood."""
    return {
        name: str(value)
        for name, value in bounds.model_dump(include=set(Filtered.model_fields)).items()
        if value is not None
    }
