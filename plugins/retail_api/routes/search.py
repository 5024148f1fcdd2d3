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
from retail_api.access.security import Reader
from retail_api.resources import Shared
from retail_api.routes.answers import problem_responses

router = APIRouter(prefix="/search", tags=["search"])


@router.get("/typesense", summary="Products for a question")
def search(caller: Reader, shared: Shared, query: Annotated[SearchRequest, Query()]) -> SearchAnswer:
    """Return a page of products with their scores, highlights and facets.

    A country, `price_min` or `price_max` is mandatory. Without `q` the products come by revenue. Prices are median unit
    prices in the base currency, in decimal strings.
    """
    return shared.search.search(query)


@router.get("/suggest", summary="Suggestions for words being typed")
def suggest(caller: Reader, shared: Shared, query: Annotated[SuggestRequest, Query()]) -> SuggestAnswer:
    """Return descriptions that go on as `q` does, best sellers first. A country or a price bound is mandatory."""
    return shared.search.suggest(query)


@router.get("/similar", summary="Products like one", responses=problem_responses(404))
def similar(caller: Reader, shared: Shared, query: Annotated[SimilarRequest, Query()]) -> SimilarAnswer:
    """Return the products of the country whose descriptions mean about the same as that of `stock_code`."""
    return shared.search.similar(query)
