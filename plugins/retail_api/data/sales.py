"""Invoice lines in the warehouse.

The same statements serve both sides. Each that is asked often finds its lines by an index: pages by time, invoices by
the time of their lines (`docs/warehouse.md`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Label,
    RowMapping,
    Select,
    and_,
    case,
    func,
    literal,
    select,
    tuple_,
)

from include.domain.money import CURRENCIES
from include.warehouse import FACT, star_table
from retail_api.data.cache import DataCache
from retail_api.data.line_counts import NOT_A_SALE, DayCount, LineCounts, days_of_page
from retail_api.data.ordering import by_code_point, directed
from retail_api.data.version import DataVersion, data_version
from retail_api.domain.sales import Kind, SaleCursor, SalesFilter, Sort, SortField

STREAMED_ROWS = 8_192
"""Lines that a stream has in memory at a time."""

fact = star_table(FACT)
product, customer, country, invoice = (
    star_table(f"dim_{name}") for name in ("product", "customer", "country", "invoice")
)

DIMENSIONS: dict[str, tuple[FromClause, ColumnElement[bool]]] = {
    "invoice": (invoice, invoice.c.invoice_key == fact.c.invoice_key),
    "product": (product, product.c.product_key == fact.c.product_key),
    "customer": (customer, customer.c.customer_key == fact.c.customer_key),
    "country": (country, country.c.country_key == fact.c.country_key),
}

COLUMNS: tuple[Label[Any], ...] = (
    fact.c.sale_id.label("id"),
    invoice.c.invoice_no.label("invoice_no"),
    product.c.stock_code.label("stock_code"),
    product.c.description.label("description"),
    fact.c.quantity.label("quantity"),
    fact.c.unit_price.label("unit_price"),
    fact.c.amount.label("total"),
    fact.c.sold_at.label("invoice_date"),
    case((customer.c.customer_key != 0, customer.c.customer_id)).label("customer_id"),
    country.c.country.label("country"),
    fact.c.kind.label("kind"),
    fact.c.currency.label("currency"),
    fact.c.original_unit_price.label("original_unit_price"),
    fact.c.original_amount.label("original_amount"),
    fact.c.fx_date.label("fx_date"),
    *[fact.c[f"unit_price_{name.lower()}"].label(f"unit_price_{name.lower()}") for name in CURRENCIES],
    *[fact.c[f"amount_{name.lower()}"].label(f"total_{name.lower()}") for name in CURRENCIES],
)
"""What is read of a line."""

DETAILS: tuple[Label[Any], ...] = (
    *[product.c[name].label(name) for name in ("product_type", "category", "subcategory", "brand")],
    country.c.iso2.label("country_iso2"),
    country.c.region.label("region"),
    fact.c.base_rate.label("base_rate"),
    *[fact.c[f"rate_{name.lower()}"].label(f"rate_{name.lower()}") for name in CURRENCIES],
    *[fact.c[name].label(name) for name in ("fx_source", "fx_missing", "batch_id")],
)

SORTED_BY: dict[str, tuple[ColumnElement[Any], str | None]] = {
    "invoice_date": (fact.c.sold_at, None),
    "invoice_no": (by_code_point(invoice.c.invoice_no), "invoice"),
    "stock_code": (by_code_point(product.c.stock_code), "product"),
    "description": (by_code_point(product.c.description), "product"),
    "quantity": (fact.c.quantity, None),
    "unit_price": (fact.c.unit_price, None),
    "total": (fact.c.amount, None),
    "customer_id": (by_code_point(customer.c.customer_id), "customer"),
    "country": (by_code_point(country.c.country), "country"),
    "kind": (by_code_point(fact.c.kind), None),
}
"""Field of a sort -> what it sorts by, and the dimension that has it."""


@dataclass(frozen=True)
class Selection:
    """Lines that were asked for.

    Attributes:
        conditions: What holds of them.
        days: How many there are of each day, in order; None if that takes counting.
        total: How many there are.
    """

    conditions: tuple[ColumnElement[bool], ...]
    days: list[DayCount] | None
    total: int

    def indexed(self, order: Sort) -> bool:
        """Return whether a page in this order is read by an index, however many lines there are."""
        names = [field.name for field in order]
        if names[0] == "invoice_date":
            return True
        one_way = len({field.descending for field in order}) == 1
        return not self.conditions and one_way and names in (["total"], ["total", "invoice_date"])


NOTHING = Selection((), [], 0)


class SalesRepository:
    """Reads invoice lines on one connection, to either side."""

    def __init__(self, connection: Connection, cache: DataCache) -> None:
        self._connection = connection
        self._cache = cache

    def select(self, criteria: SalesFilter) -> Selection:
        """Return which lines a filter asks for, and how many they are."""
        version = data_version(self._connection)
        counts = self._cache.line_counts(self._connection, version)
        country_key = counts.country_key(criteria.country) if criteria.country is not None else None
        if criteria.country is not None and country_key is None:
            return NOTHING
        conditions = list(_conditions(criteria, country_key))
        for found in self._members(criteria):
            if found is None:
                return NOTHING
            conditions.append(found)
        if criteria.product or criteria.customer or criteria.invoice:
            total = self._total(criteria, version, conditions)
            return Selection(tuple(conditions), None, total)
        days = self._days(criteria, version, counts, country_key)
        return Selection(tuple(conditions), days, sum(lines for _, lines in days))

    def page(self, selection: Selection, order: Sort, offset: int, size: int) -> list[RowMapping]:
        """Return `size` lines after the first `offset` of a selection."""
        if offset >= selection.total:
            return []
        conditions = selection.conditions
        if order[0].name == "invoice_date" and selection.days is not None:
            found = days_of_page(selection.days[::-1] if order[0].descending else selection.days, offset, size)
            if found is None:
                return []
            begin, end = midnight(found.first_day), midnight_after(found.last_day)
            conditions = (*conditions, fact.c.sold_at >= begin, fact.c.sold_at < end)
            offset = found.skip
        return self._rows(page_query(conditions, order, offset, size))

    def after(self, selection: Selection, cursor: SaleCursor, size: int) -> list[RowMapping]:
        """Return the `size` lines of a selection that follow a line in time."""
        return self._rows(cursor_query(selection.conditions, cursor, size))

    def one(self, sale_id: UUID) -> RowMapping | None:
        """Return a line with all that is known of it, None if there is none of this id."""
        query = _joined(select(*COLUMNS, *DETAILS), DIMENSIONS).where(fact.c.sale_id == sale_id)
        return self._connection.execute(query).mappings().first()

    def stream(self, selection: Selection) -> Generator[Sequence[Any], None, None]:
        """Yield the lines of a selection in order of time, as tuples of COLUMNS, without holding them all."""
        if not selection.total:
            return
        streaming = self._connection.execution_options(stream_results=True, max_row_buffer=STREAMED_ROWS)
        with streaming.execute(stream_query(selection.conditions)) as result:
            yield from result.partitions(STREAMED_ROWS)

    def _rows(self, query: Select[Any]) -> list[RowMapping]:
        return list(self._connection.execute(query).mappings())

    def _members(self, criteria: SalesFilter) -> Iterator[ColumnElement[bool] | None]:
        """Yield what holds of the lines of the members asked for, None for one that is not there."""
        if criteria.product is not None:
            key = self._connection.execute(
                select(product.c.product_key).where(product.c.stock_code == criteria.product)
            ).scalar()
            yield None if key is None else fact.c.product_key == key
        if criteria.customer is not None:
            key = self._connection.execute(
                select(customer.c.customer_key).where(customer.c.customer_id == criteria.customer)
            ).scalar()
            yield None if key is None else fact.c.customer_key == key
        if criteria.invoice is not None:
            found = self._connection.execute(select(invoice).where(invoice.c.invoice_no == criteria.invoice)).first()
            yield (
                None
                if found is None
                else and_(
                    fact.c.invoice_key == found.invoice_key,
                    fact.c.sold_at.between(found.first_line_at, found.last_line_at),
                )
            )

    def _days(
        self, criteria: SalesFilter, version: DataVersion, counts: LineCounts, country_key: int | None
    ) -> list[DayCount]:
        days = self._cache.days(counts, version, country_key, criteria.kind)
        first, last = criteria.date_from, criteria.date_to
        if first is None and last is None:
            return days
        return [count for count in days if not ((first and count.day < first) or (last and count.day > last))]

    def _total(self, criteria: SalesFilter, version: DataVersion, conditions: Sequence[ColumnElement[bool]]) -> int:
        def count() -> int:
            return int(self._connection.execute(count_query(conditions)).scalar_one())

        wanted = SalesFilter.model_validate(criteria.model_dump(include=set(SalesFilter.model_fields)))
        return self._cache.totals(wanted, version, count)


def count_query(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """Return the query that counts lines."""
    return select(func.count()).select_from(fact).where(*conditions)


def page_query(conditions: Sequence[ColumnElement[bool]], order: Sort, offset: int, size: int) -> Select[Any]:
    """Return the query of a page; what is read of its lines beyond the sort is looked up for them alone."""
    needed = {of for name, _ in order if (of := SORTED_BY[name][1]) is not None}
    by = _order(order)
    chosen = _joined(select(fact.c.sale_id), needed).where(*conditions).order_by(*by).offset(offset).limit(size)
    page = chosen.subquery("page")
    return _joined(select(*COLUMNS), DIMENSIONS, page).order_by(*by)


def cursor_query(conditions: Sequence[ColumnElement[bool]], cursor: SaleCursor, size: int) -> Select[Any]:
    """Return the query of the lines that follow a line in time."""
    seen = tuple_(literal(cursor.sold_at, fact.c.sold_at.type), literal(cursor.id, fact.c.sale_id.type))
    place = tuple_(fact.c.sold_at, fact.c.sale_id)
    follows = place < seen if cursor.before else place > seen
    return page_query([*conditions, follows], (SortField("invoice_date", cursor.before),), 0, size)


def stream_query(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """Return the query of all lines in order of time."""
    return _joined(select(*COLUMNS), DIMENSIONS).where(*conditions).order_by(fact.c.sold_at, fact.c.sale_id)


def _joined(query: Select[Any], dimensions: Any, page: FromClause | None = None) -> Select[Any]:
    """Return `query` from the facts, those of `page` alone if it is given, joined to some dimensions."""
    source: FromClause = fact if page is None else page.join(fact, fact.c.sale_id == page.c.sale_id)
    for name in dimensions:
        source = source.join(*DIMENSIONS[name])
    return query.select_from(source)


def _order(order: Sort) -> list[ColumnElement[Any]]:
    """Return what a sort sorts by; equal lines follow in the direction of its last field."""
    by = [
        directed(SORTED_BY[name][0], descending) if name == "description" else _plainly(name, descending)
        for name, descending in order
    ]
    last = order[-1].descending
    if "invoice_date" not in {field.name for field in order}:
        by.append(_plainly("invoice_date", last))
    return [*by, fact.c.sale_id.desc() if last else fact.c.sale_id.asc()]


def _plainly(name: str, descending: bool) -> ColumnElement[Any]:
    column = SORTED_BY[name][0]
    return column.desc() if descending else column.asc()


def _conditions(criteria: SalesFilter, country_key: int | None) -> Iterator[ColumnElement[bool]]:
    if country_key is not None:
        yield fact.c.country_key == country_key
    if criteria.kind is not None:
        yield fact.c.kind == criteria.kind.value
        if criteria.kind is not Kind.SALE:
            yield NOT_A_SALE
    if criteria.date_from is not None:
        yield fact.c.sold_at >= midnight(criteria.date_from)
    if criteria.date_to is not None:
        yield fact.c.sold_at < midnight_after(criteria.date_to)


def midnight(day: date) -> datetime:
    """Return the moment a day begins."""
    return datetime.combine(day, time.min)


def midnight_after(day: date) -> datetime:
    """Return the moment a day ends; the last moment there is for the last day that there is."""
    return datetime.max if day == date.max else midnight(day + timedelta(days=1))
