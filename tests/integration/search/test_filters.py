"""No value of a filter lets a product through that is outside it: a thousand attempts on a real server."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.search.entities import FilterRequired, Mode, PriceBoundsReversed, SearchRequest
from include.search.service import SearchService
from tests.integration.search.shop import catalogue

pytestmark = pytest.mark.integration

COUNTRIES = sorted({line.country for line in catalogue()})
CATEGORIES = sorted({line.category for line in catalogue() if line.category})
TRICKS = st.sampled_from(
    [
        "`",
        "``",
        "'",
        '"',
        "&&",
        "||",
        "(",
        ")",
        "[",
        "]",
        ":",
        ":=",
        ":!=",
        "*",
        ",",
        "\\",
        "\n",
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
    st.sampled_from([*COUNTRIES, *CATEGORIES]),
    st.lists(TRICKS, min_size=1, max_size=5).map("".join),
    st.text(min_size=1, max_size=30),
).map(lambda text: text[:100])
PRICES = st.decimals(min_value=0, max_value=40, places=2)


def same(one: str | None, other: str | None) -> bool:
    plain = [" ".join((text or "").casefold().replace("_", " ").split()) for text in (one, other)]
    return plain[0] == plain[1]


@settings(
    max_examples=1000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    country=st.none() | NAMES,
    category=st.none() | NAMES,
    brand=st.none() | NAMES,
    price_min=st.none() | PRICES,
    price_max=st.none() | PRICES,
    q=st.sampled_from(["", "holder", "lunch", "christmas"]) | st.text(max_size=20),
    mode=st.sampled_from(["hybrid", "text", "vector"]),
)
def test_nothing_outside_the_filter_is_found(
    service: SearchService,
    country: str | None,
    category: str | None,
    brand: str | None,
    price_min: Decimal | None,
    price_max: Decimal | None,
    q: str,
    mode: Mode,
) -> None:
    try:
        request = SearchRequest(
            q=q,
            country=country,
            category=category,
            brand=brand,
            price_min=price_min,
            price_max=price_max,
            mode=mode,
            size=100,
        )
    except FilterRequired:
        assert not (country or "").strip()
        assert price_min is None
        assert price_max is None
        return
    except PriceBoundsReversed:
        assert price_min is not None
        assert price_max is not None
        assert price_min > price_max
        return
    for hit in service.search(request).hits:
        product = hit.product
        assert request.country is None or same(product.country, request.country)
        assert request.category is None or same(product.category, request.category)
        assert request.brand is None or same(product.brand, request.brand)
        assert request.price_min is None or product.price_median >= request.price_min
        assert request.price_max is None or product.price_median <= request.price_max
