"""The product search: products as sold in a country, found by words, by meaning or by both."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from include.search.entities import (
    SearchAnswer,
    SearchRequest,
    SimilarAnswer,
    SimilarRequest,
    SuggestAnswer,
    SuggestRequest,
)
from retail_api.routes.answers import problem_responses
from retail_api.security import Reader
from retail_api.state import SharedState

router = APIRouter(prefix="/search", tags=["search"])


@router.get("/typesense", summary="Products for a question")
def search(caller: Reader, state: SharedState, query: Annotated[SearchRequest, Query()]) -> SearchAnswer:
    """Return a page of products with their scores, highlights and facets.

    A country, `price_min` or `price_max` is mandatory. Without `q` the products come by revenue. Prices are median unit
    prices in GBP, in decimal strings.
    """
    return state.search.search(query)


@router.get("/suggest", summary="Suggestions for words being typed")
def suggest(caller: Reader, state: SharedState, query: Annotated[SuggestRequest, Query()]) -> SuggestAnswer:
    """Return descriptions that go on as `q` does, best sellers first. A country or a price bound is mandatory."""
    return state.search.suggest(query)


@router.get("/similar", summary="Products like one", responses=problem_responses(404))
def similar(caller: Reader, state: SharedState, query: Annotated[SimilarRequest, Query()]) -> SimilarAnswer:
    """Return the products of the country whose descriptions mean about the same as that of `stock_code`."""
    return state.search.similar(query)
