from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from include.search.entities import (
    FilterRequired,
    PriceBoundsReversed,
    SearchRequest,
    SuggestRequest,
    WindowExceeded,
    price_band,
)


@pytest.mark.parametrize("given", [{}, {"country": " "}, {"category": "christmas", "brand": "x"}, {"price_min": ""}])
def test_a_country_or_a_price_bound_is_mandatory(given: dict[str, Any]) -> None:
    with pytest.raises(FilterRequired, match="one of them is mandatory"):
        SearchRequest(q="mug", **given)
    with pytest.raises(FilterRequired):
        SuggestRequest(q="mug", **given)


@pytest.mark.parametrize("given", [{"country": "France"}, {"price_min": 0}, {"price_max": "2.95"}])
def test_any_of_them_is_enough(given: dict[str, Any]) -> None:
    assert SearchRequest(**given).mode == "hybrid"


def test_prices_are_not_reversed() -> None:
    with pytest.raises(PriceBoundsReversed, match=r"price_min \(3\) is above price_max \(2\.5\)"):
        SearchRequest(price_min=Decimal(3), price_max=Decimal("2.5"))
    SearchRequest(price_min=Decimal(3), price_max=Decimal(3))


def test_pages_go_so_deep() -> None:
    SearchRequest(country="France", page=100, size=100)
    with pytest.raises(WindowExceeded):
        SearchRequest(country="France", page=101, size=100)


@pytest.mark.parametrize(
    "given",
    [{"price_min": -1}, {"price_max": "NaN"}, {"price_max": "1.23456"}, {"size": 101}, {"page": 0}, {"mode": "magic"},
     {"q": "x" * 201}, {"country": "x" * 101}, {"colour": "red"}, {"sort": "price"}],
)  # fmt: skip
def test_what_makes_no_sense_is_invalid(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SearchRequest(**{"country": "France"} | given)


@pytest.mark.parametrize(
    ("price", "band"), [("0.99", "under 1"), ("1", "1 to 2.49"), ("2.5", "2.50 to 4.99"), ("25", "25 and over")]
)
def test_bands_begin_at_their_lower_bound(price: str, band: str) -> None:
    assert price_band(Decimal(price)) == band
