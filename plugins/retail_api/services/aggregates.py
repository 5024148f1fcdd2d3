"""Pages of sums over invoice lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from include.failover import Answer, Warehouse
from retail_api.data.aggregates import AggregatesRepository, Rows
from retail_api.data.cache import DataCache
from retail_api.domain.aggregates import (
    AggregateQuery,
    CountryAggregateQuery,
    CountrySales,
    DailySales,
    ProductSales,
)
from retail_api.domain.paging import Entity, Page, page_of

EntityT = TypeVar("EntityT", bound=Entity)


class AggregatesService:
    """Sums lines on the active side of the warehouse.

    Each method raises `WarehouseUnavailable` if neither side answers.
    """

    def __init__(self, warehouse: Warehouse, cache: DataCache) -> None:
        self._warehouse = warehouse
        self._cache = cache

    def daily(self, query: CountryAggregateQuery) -> Answer[Page[DailySales]]:
        """Return a page of days, in order."""
        return self._page(query, DailySales, lambda sums: sums.daily(query))

    def countries(self, query: AggregateQuery) -> Answer[Page[CountrySales]]:
        """Return a page of countries, by revenue."""
        return self._page(query, CountrySales, lambda sums: sums.countries(query))

    def products(self, query: CountryAggregateQuery) -> Answer[Page[ProductSales]]:
        """Return a page of stock codes, by revenue."""
        return self._page(query, ProductSales, lambda sums: sums.products(query))

    def _page(
        self, query: AggregateQuery, entity: type[EntityT], read: Callable[[AggregatesRepository], Rows]
    ) -> Answer[Page[EntityT]]:
        answer = self._warehouse.read(lambda connection: read(AggregatesRepository(connection, self._cache)))
        chosen = answer.value[query.offset : query.offset + query.size]
        items = [entity.model_validate(dict(row)) for row in chosen]
        return Answer(page_of(items, len(answer.value), query), answer.side)
