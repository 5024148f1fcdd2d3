"""Attempts to be shown products that are outside the filter."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from include.search.entities import FilterRequired, PriceBoundsReversed, SearchRequest
from include.search.service import SearchService

TRICKS = st.sampled_from(
    [
        *"`'\"()[]{}*,\\\n;:%",
        "``",
        "&&",
        "||",
        ":=",
        ":!=",
        "price_median:>0",
        "country:!=x",
        "` || country:`France",
        "France",
        "united kingdom",
        "United Kingdom",
        "Channel Islands",
        "Channel",
        " ",
        "home_decor",
        "christmas",
    ]
)
NAMES = st.one_of(
    st.sampled_from(["United Kingdom", "France", "Channel Islands", "EIRE", "home_decor", "christmas"]),
    st.lists(TRICKS, min_size=1, max_size=5).map("".join),
    st.text(min_size=1, max_size=30),
).map(lambda text: text[:100])
PRICES = st.decimals(min_value=0, max_value=40, places=2)

ATTEMPTS = st.fixed_dictionaries(
    {
        "country": st.none() | NAMES,
        "category": st.none() | NAMES,
        "brand": st.none() | NAMES,
        "price_min": st.none() | PRICES,
        "price_max": st.none() | PRICES,
        "q": st.sampled_from(["", "holder", "lunch", "christmas"]) | st.text(max_size=20),
        "mode": st.sampled_from(["hybrid", "text", "vector"]),
    }
)
"""What a request is made of."""


def attempt(service: SearchService, given: dict[str, Any]) -> None:
    """Ask, and fail if a product outside the filter is shown or a request is refused that should not be."""
    bounds = (given["price_min"], given["price_max"])
    try:
        request = SearchRequest(**given, size=100)
    except FilterRequired:
        assert not (given["country"] or "").strip()
        assert bounds == (None, None)
        return
    except PriceBoundsReversed:
        assert None not in bounds
        assert bounds[0] > bounds[1]
        return
    for hit in service.search(request).hits:
        product = hit.product
        assert request.country is None or _same(product.country, request.country)
        assert request.category is None or _same(product.category, request.category)
        assert request.brand is None or _same(product.brand, request.brand)
        assert (request.price_min or Decimal(0)) <= product.price_median
        assert request.price_max is None or product.price_median <= request.price_max


def _same(one: str | None, other: str | None) -> bool:
    plain = [" ".join((text or "").casefold().replace("_", " ").split()) for text in (one, other)]
    return plain[0] == plain[1]
