"""Searching the small shop on a real server."""

from __future__ import annotations

from decimal import Decimal

import pytest

from include.search.entities import (
    Mode,
    ProductUnknown,
    SearchAnswer,
    SearchRequest,
    SimilarRequest,
    Sort,
    SuggestRequest,
)
from include.search.index import bring_up_to_date
from include.search.service import SearchService
from tests.support.shop import Line, MakeSettings, write_shop

UK = "United Kingdom"
MODES: tuple[Mode, ...] = ("text", "vector", "hybrid")


def codes(answer: SearchAnswer) -> list[str]:
    return [hit.product.stock_code for hit in answer.hits]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("t light holder", {"20001", "20002"}),
        ("tealight holders", {"20001", "20002"}),
        ("kids lunch box", {"20006", "20007"}),
        ("xmas decoration", {"20004", "20005"}),
        ("picture frames", {"20012"}),
        ("brolly", {"20010"}),
    ],
)
def test_shoppers_words_find_what_the_catalogue_calls_otherwise(
    service: SearchService, mode: Mode, query: str, expected: set[str]
) -> None:
    answer = service.search(SearchRequest(q=query, country=UK, mode=mode))
    assert {*codes(answer)[: len(expected)]} == expected
    assert answer.mode == mode


@pytest.mark.parametrize(("query", "expected"), [("umberlla", "20010"), ("tea pott", "20008"), ("reindere", "20005")])
def test_typing_errors_are_forgiven(service: SearchService, query: str, expected: str) -> None:
    for mode in ("text", "hybrid"):
        assert codes(service.search(SearchRequest(q=query, country=UK, mode=mode)))[0] == expected


def test_the_beginning_of_a_word_and_a_stock_code_find_too(service: SearchService) -> None:
    assert codes(service.search(SearchRequest(q="umbr", country=UK, mode="text")))[0] == "20010"
    assert codes(service.search(SearchRequest(q="20014", country=UK)))[0] == "20014"


def test_a_hit_tells_the_product_its_score_and_what_matched(service: SearchService) -> None:
    hit = service.search(SearchRequest(q="tea lights", country="france")).hits[0]
    assert hit.product.country == "France"
    assert hit.product.price_median == Decimal("2.95")
    assert hit.product.revenue == Decimal("14.75")
    assert hit.highlight == "RED HEART <mark>T-LIGHT</mark> HOLDER"
    parts = hit.score
    assert (parts.text_rank, parts.vector_rank) == (1, 1)
    assert parts.text_match is not None
    assert parts.vector_distance is not None
    assert parts.score == pytest.approx((1 + 1.25) / 11)


def test_an_empty_query_browses_by_revenue(service: SearchService) -> None:
    answer = service.search(SearchRequest(country=UK))
    revenues = [hit.product.revenue for hit in answer.hits]
    assert (answer.found, answer.sort) == (14, "revenue:desc")
    assert revenues == sorted(revenues, reverse=True)
    assert all(hit.score.text_rank is None for hit in answer.hits)


def test_facets_count_what_was_found(service: SearchService) -> None:
    answer = service.search(SearchRequest(price_min=Decimal(0)))
    assert answer.found == 28
    assert {one.value: one.count for one in answer.facets["country"]} == {UK: 14, "France": 7, "Channel Islands": 7}
    assert {one.value: one.count for one in answer.facets["price_band"]}["25 and over"] == 3
    for mode in MODES:
        found = service.search(SearchRequest(q="candle", country=UK, mode=mode))
        assert sum(one.count for one in found.facets["category"]) == found.found
        assert set(found.facets) == {"country", "category", "brand", "price_band"}


@pytest.mark.parametrize("mode", MODES)
def test_filters_hold_in_every_mode(service: SearchService, mode: Mode) -> None:
    bounds = {"price_min": Decimal("2.95"), "price_max": Decimal("12.50")}
    answer = service.search(
        SearchRequest(q="wood holder candle", country="channel  ISLANDS", category="Home decor", mode=mode, **bounds)
    )
    assert codes(answer) == []
    answer = service.search(SearchRequest(q="holder", country=UK, category="candles and lighting", mode=mode, **bounds))
    assert {*codes(answer)} <= {"20001", "20003"}
    assert "20001" in codes(answer)
    assert answer.filters == {
        "country": UK,
        "price_min": "2.95",
        "price_max": "12.50",
        "category": "candles and lighting",
    }
    assert codes(service.search(SearchRequest(q="tea", country=UK, brand="STARLIGHT", mode=mode))) == ["20002"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("sort", "field", "reverse"), [("price:asc", "price_median", False), ("units:desc", "units", True)]
)
def test_hits_are_sorted_as_asked(service: SearchService, mode: Mode, sort: Sort, field: str, reverse: bool) -> None:
    answer = service.search(SearchRequest(q="holder candle tea", country=UK, sort=sort, mode=mode))
    values = [getattr(hit.product, field) for hit in answer.hits]
    assert len(values) > 1
    assert values == sorted(values, reverse=reverse)
    assert answer.mode == ("text" if mode == "hybrid" else mode)


@pytest.mark.parametrize("mode", MODES)
def test_pages_hold_every_hit_once(make_settings: MakeSettings, mode: Mode) -> None:
    settings = make_settings()
    lines = [Line(f"K{number:03}", f"PAPER KITE {number}", quantity=number + 1) for number in range(320)]
    lines += [Line(f"C{number:03}", f"SCENTED CANDLE {number}") for number in range(60)]
    write_shop(settings, lines)
    assert bring_up_to_date(settings, "r1").status == "indexed"
    with SearchService(settings) as service:
        first = service.search(SearchRequest(q="kite", country=UK, mode=mode, size=50))
        pages = [
            service.search(SearchRequest(q="kite", country=UK, mode=mode, size=50, page=page))
            for page in range(1, first.pages + 2)
        ]
    everything = [code for answer in pages for code in codes(answer)]
    assert {answer.found for answer in pages} == {first.found}
    assert len(everything) == len(set(everything)) == first.found
    assert first.found >= (60 if mode == "vector" else 320)
    assert pages[-1].hits == []


def test_suggestions_go_on_as_typed(service: SearchService) -> None:
    def texts(typed: str) -> list[str]:
        return [one.text for one in service.suggest(SuggestRequest(q=typed, country=UK)).suggestions]

    assert texts("lac") == ["LACE UMBRELLA BLACK"]
    assert "ENAMEL TEAPOT CREAM" in texts("tea p")
    assert "GLASS TEA LIGHT HOLDER STARS" in texts("tealigh")
    assert texts("umbrela") == ["LACE UMBRELLA BLACK"]
    assert texts("zzzz") == []


def test_suggestions_name_a_product_once(service: SearchService) -> None:
    answer = service.suggest(SuggestRequest(q="red hea", price_max=Decimal(5)))
    assert [one.stock_code for one in answer.suggestions] == ["20001"]


def test_similar_products_are_of_the_same_country_and_not_itself(service: SearchService) -> None:
    answer = service.similar(SimilarRequest(stock_code="20001", country="united kingdom", size=3))
    assert answer.product.stock_code == "20001"
    assert answer.hits[0].product.stock_code == "20002"
    assert len(answer.hits) == 3
    assert all(hit.product.country == UK for hit in answer.hits)
    assert "20001" not in [hit.product.stock_code for hit in answer.hits]
    with pytest.raises(ProductUnknown, match="20002 is not sold in France"):
        service.similar(SimilarRequest(stock_code="20002", country="France"))


@pytest.mark.parametrize("query", ["*", "`", "%", "the", "-lunch", '"lunch box"', "a" * 200, "😀", "\x00", "&& ||"])
def test_odd_queries_are_answered(service: SearchService, query: str) -> None:
    for mode in MODES:
        answer = service.search(SearchRequest(q=query, country=UK, mode=mode))
        assert all(hit.product.country == UK for hit in answer.hits)
