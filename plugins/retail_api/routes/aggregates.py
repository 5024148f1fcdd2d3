"""Sums by day, country and product."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from retail_api.access.security import Reader
from retail_api.domain.aggregates import (
    AggregateQuery,
    CountryAggregateQuery,
    CountrySales,
    DailySales,
    ProductSales,
)
from retail_api.domain.paging import Page
from retail_api.resources import Shared
from retail_api.routes.answers import answered
from retail_api.services.aggregates import AggregatesService

router = APIRouter(prefix="/aggregates", tags=["aggregates"])


@router.get("/daily", response_model=Page[DailySales], summary="Sums by invoice day")
def daily(
    request: Request, caller: Reader, shared: Shared, query: Annotated[CountryAggregateQuery, Query()]
) -> Response:
    """Return the days that have lines, in order; money in decimal strings."""
    return answered(request, AggregatesService(shared.warehouse, shared.cache).daily(query))


@router.get("/countries", response_model=Page[CountrySales], summary="Sums by country")
def countries(request: Request, caller: Reader, shared: Shared, query: Annotated[AggregateQuery, Query()]) -> Response:
    """Return the countries that have lines, the greatest revenue first; money in decimal strings."""
    return answered(request, AggregatesService(shared.warehouse, shared.cache).countries(query))


@router.get("/products", response_model=Page[ProductSales], summary="Sums by stock code")
def products(
    request: Request, caller: Reader, shared: Shared, query: Annotated[CountryAggregateQuery, Query()]
) -> Response:
    """Return the stock codes that have lines, the greatest revenue first; money in decimal strings."""
    return answered(request, AggregatesService(shared.warehouse, shared.cache).products(query))
