"""Each read of the API finds its lines by an index, by the planner's own choice, on both sides of the warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from include.failover import replica
from include.warehouse import transaction
from retail_api.data.aggregates import AggregatesRepository
from retail_api.data.cache import DataCache
from retail_api.data.sales import SalesRepository
from retail_api.data.version import data_version
from retail_api.domain.aggregates import CountryAggregateQuery
from retail_api.domain.sales import SalesQuery
from tests.support.sales import Side
from tests.support.warehouses import filled_warehouse

READS: dict[str, tuple[dict[str, Any], str]] = {
    "newest": ({}, "sold_at"),
    "deep": ({"page": 4000}, "sold_at"),
    "deep from the other end": ({"page": 4000, "sort": "invoice_date:asc"}, "sold_at"),
    "deep with more fields": ({"page": 2500, "sort": "invoice_date:asc,total:desc"}, "sold_at"),
    "day": ({"date_from": "2010-12-09", "date_to": "2010-12-09"}, "sold_at"),
    "country": ({"country": "Country 17"}, "country_key_sold_at"),
    "country and days": ({"country": "country 17", "date_from": "2010-12-05", "date_to": "2010-12-09"}, "sold_at"),
    "product": ({"product": "P5"}, "product_key_sold_at"),
    "product, sorted": ({"product": "P5", "sort": "total:desc"}, "product_key_sold_at"),
    "customer": ({"customer": "C600", "page": 2}, "customer_key_sold_at"),
    "largest": ({"sort": "total:desc"}, "amount_sold_at_sale_id"),
    "largest, deep": ({"sort": "total:desc", "page": 4000}, "amount_sold_at_sale_id"),
    "smallest, the earliest first": ({"sort": "total:asc,invoice_date:asc", "page": 2}, "amount_sold_at_sale_id"),
    "kind": ({"kind": "cancellation", "page": 20}, "sold_at"),
    "invoice": ({"invoice": "I77"}, "sold_at"),
}


@pytest.fixture(scope="module")
def filled(postgres_url: str) -> Iterator[Engine]:
    with filled_warehouse(postgres_url) as (engine, _):
        yield engine


def plans(connection: Connection, work: Any, explain: str) -> list[str]:
    """Return the plan of each statement on the facts that `work` executes."""
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if "fact_sales" in statement:
            asked.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    work()
    event.remove(connection, "before_cursor_execute", note)
    assert asked
    return [
        "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {statement}", parameters))
        for statement, parameters in asked
    ]


def pages(connection: Connection, cache: DataCache, wanted: dict[str, Any]) -> Any:
    query = SalesQuery.model_validate(wanted)

    def read() -> None:
        sales = SalesRepository(connection, cache)
        selection = sales.select(query)
        sales.page(selection, query.order, query.offset, query.size)
        if query.by_time_alone and selection.total > query.size:
            [*_, last] = sales.page(selection, query.order, 0, query.size)
            sales.after(selection, _cursor(query, last), query.size)

    return read


def _cursor(query: SalesQuery, last: Any) -> Any:
    from retail_api.domain.sales import SaleCursor

    return SaleCursor(before=query.order[0].descending, sold_at=last["invoice_date"], id=last["id"])


@pytest.mark.parametrize("read", READS)
def test_the_server_reads_a_page_by_an_index(filled: Engine, read: str) -> None:
    wanted, index = READS[read]
    cache = DataCache()
    with transaction(filled) as connection:
        version = data_version(connection)
        cache.line_counts(connection, version)
        for plan in plans(connection, pages(connection, cache, wanted), "EXPLAIN"):
            assert "Seq Scan on fact_sales" not in plan, plan
            assert f"{index}" in plan, plan


def test_the_server_counts_the_lines_from_indices_alone(filled: Engine) -> None:
    cache = DataCache()
    with transaction(filled) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        version = data_version(connection)
        every, others = sorted(
            plans(connection, lambda: cache.line_counts(connection, version), "EXPLAIN"),
            key=lambda plan: "kind" in plan,
        )
        assert "ix_fact_sales_country_key_sold_at" in every, every
        assert "ix_fact_sales_kind_sold_at" in others, others


def test_the_server_sums_some_days_by_an_index(filled: Engine) -> None:
    query = CountryAggregateQuery(date_from="2010-12-09", date_to="2010-12-09")
    with transaction(filled) as connection:
        sums = AggregatesRepository(connection, DataCache())
        for work in (sums.daily, sums.countries, sums.products):
            [plan] = plans(connection, lambda work=work: work(query), "EXPLAIN")
            assert "Seq Scan on fact_sales" not in plan, plan


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"page": 12},
        {"sort": "total:desc", "page": 12},
        {"date_from": "2010-12-09", "date_to": "2010-12-09"},
        {"country": "France", "date_from": "2010-12-05"},
        {"product": "P5"},
        {"customer": "17851"},
        {"kind": "return"},
        {"invoice": "536010"},
    ],
    ids=str,
)
def test_the_replica_reads_a_page_by_an_index(primary: Side, wanted: dict[str, Any]) -> None:
    cache = DataCache()
    with replica.reading(primary.settings) as connection:
        cache.line_counts(connection, data_version(connection))
        for plan in plans(connection, pages(connection, cache, wanted), "EXPLAIN QUERY PLAN"):
            scanned = [line for line in plan.splitlines() if line.startswith("SCAN fact_sales") and "USING" not in line]
            assert not scanned, plan
            assert "USING INDEX ix_fact_sales" in plan or "USING COVERING INDEX ix_fact_sales" in plan, plan
