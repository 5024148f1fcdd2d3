"""Sums over invoice lines, by the same statements on both sides of the warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, case, func, select

from include.warehouse import FACT, star_table
from retail_api.data.cache import DataCache
from retail_api.data.ordering import by_code_point
from retail_api.data.sales import midnight, midnight_after
from retail_api.data.version import data_version
from retail_api.domain.aggregates import AggregateQuery, CountryAggregateQuery

fact = star_table(FACT)
calendar, country, product = (star_table(f"dim_{name}") for name in ("date", "country", "product"))

Rows = Sequence[RowMapping]

_SUMS = (
    func.count().label("lines"),
    func.sum(fact.c.quantity).label("units"),
    func.sum(fact.c.amount).label("revenue"),
    func.sum(case((fact.c.kind == "sale", fact.c.amount), else_=0)).label("gross_sales"),
)
_INVOICES = func.count(fact.c.invoice_key.distinct()).label("invoices")


class AggregatesRepository:
    """Sums lines on one connection; what was summed is kept until the data changes."""

    def __init__(self, connection: Connection, cache: DataCache) -> None:
        self._connection = connection
        self._cache = cache

    def daily(self, query: CountryAggregateQuery) -> Rows:
        """Return the days that have lines, in order."""
        sums = self._summed(fact.c.date_key, query, _INVOICES)
        return self._cached(
            "daily",
            query,
            select(calendar.c.full_date.label("invoice_day"), *_but_key(sums))
            .join_from(sums, calendar, calendar.c.date_key == sums.c.key)
            .order_by(calendar.c.date_key),
        )

    def countries(self, query: AggregateQuery) -> Rows:
        """Return the countries that have lines, by revenue."""
        sums = self._summed(fact.c.country_key, query, _INVOICES)
        columns = (country.c.country, country.c.iso2.label("country_iso2"), country.c.region)
        return self._cached(
            "countries",
            query,
            select(*columns, *_but_key(sums))
            .join_from(sums, country, country.c.country_key == sums.c.key)
            .order_by(sums.c.revenue.desc(), by_code_point(country.c.country)),
        )

    def products(self, query: CountryAggregateQuery) -> Rows:
        """Return the stock codes that have lines, by revenue."""
        sums = self._summed(fact.c.product_key, query)
        columns = [product.c[name] for name in ("stock_code", "description", "is_product", "category")]
        return self._cached(
            "products",
            query,
            select(*columns, *_but_key(sums))
            .join_from(sums, product, product.c.product_key == sums.c.key)
            .order_by(sums.c.revenue.desc(), by_code_point(product.c.stock_code)),
        )

    def _summed(self, key: ColumnElement[Any], query: AggregateQuery, *more: ColumnElement[Any]) -> Any:
        summed = select(key.label("key"), *_SUMS, *more).group_by(key)
        if query.date_from is not None:
            summed = summed.where(fact.c.sold_at >= midnight(query.date_from))
        if query.date_to is not None:
            summed = summed.where(fact.c.sold_at < midnight_after(query.date_to))
        if isinstance(query, CountryAggregateQuery) and query.country is not None:
            version = data_version(self._connection)
            country_key = self._cache.line_counts(self._connection, version).country_key(query.country)
            summed = summed.where(fact.c.country_key == (-1 if country_key is None else country_key))
        return summed.subquery("sums")

    def _cached(self, name: str, query: AggregateQuery, statement: Any) -> Rows:
        key = (name, query.date_from, query.date_to, getattr(query, "country", None))
        version = data_version(self._connection)
        return self._cache.sums(key, version, lambda: self._connection.execute(statement).mappings().all())


def _but_key(sums: Any) -> list[ColumnElement[Any]]:
    return [column for column in sums.c if column.name != "key"]
