"""The reads an API makes find their lines by an index, by the planner's own choice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from include.warehouse.connection.engine import transaction
from tests.support.warehouses import filled_warehouse

PAGE = "SELECT * FROM fact_sales WHERE {} ORDER BY sold_at{order}, sale_id{order} LIMIT 50"
FORWARD = "(sold_at, sale_id) > ('2010-12-09 10:00', '80000000-0000-0000-0000-000000000000')"
BACK = FORWARD.replace(">", "<")
DAY = "sold_at >= '2010-12-09' AND sold_at < '2010-12-10'"

READS = {
    "newest": (PAGE.format("true", order=" DESC"), "sold_at"),
    "page forward": (PAGE.format(FORWARD, order=""), "sold_at"),
    "page back": (PAGE.format(BACK, order=" DESC"), "sold_at"),
    "product": (PAGE.format("product_key = 5", order=" DESC"), "product_key_sold_at"),
    "product page": (PAGE.format(f"product_key = 5 AND {BACK}", order=" DESC"), "product_key_sold_at"),
    "product and day": (PAGE.format(f"product_key = 5 AND {DAY}", order=""), "product_key_sold_at"),
    "country page": (PAGE.format(f"country_key = 17 AND {FORWARD}", order=""), "country_key_sold_at"),
    "country and day": (PAGE.format(f"country_key = 17 AND {DAY}", order=" DESC"), "country_key_sold_at"),
    "customer": (PAGE.format("customer_key = 600", order=" DESC"), "customer_key_sold_at"),
    "customer page": (PAGE.format(f"customer_key = 600 AND {FORWARD}", order=""), "customer_key_sold_at"),
    "kind page": (PAGE.format(f"kind = 'cancellation' AND {BACK}", order=" DESC"), "kind_sold_at"),
    "invoice": (
        "SELECT f.* FROM dim_invoice i JOIN fact_sales f ON f.invoice_key = i.invoice_key "
        "AND f.sold_at BETWEEN i.first_line_at AND i.last_line_at WHERE i.invoice_no = 'I77'",
        "sold_at",
    ),
    "days of the mart": (
        "SELECT * FROM mart_daily_sales WHERE invoice_day BETWEEN '2010-12-09' AND '2010-12-10'",
        "sold_at",
    ),
    "a country of the mart": ("SELECT * FROM mart_country_sales WHERE country = 'Country 17'", "country_key_sold_at"),
    "a product of the mart": (
        "SELECT * FROM mart_product_sales WHERE product_key = "
        "(SELECT product_key FROM dim_product WHERE stock_code = 'P77')",
        "product_key_sold_at",
    ),
}


@pytest.fixture(scope="module")
def filled(postgres_url: str) -> Iterator[tuple[Engine, str]]:
    with filled_warehouse(postgres_url) as made:
        yield made


@pytest.mark.parametrize("read", READS)
def test_a_read_finds_its_lines_by_an_index(filled: tuple[Engine, str], read: str) -> None:
    engine, schema = filled
    query, index = READS[read]
    with transaction(engine) as connection:
        connection.execute(text(f"SET LOCAL search_path = {schema}"))
        assert connection.execute(text(query)).first() is not None
        plan = "\n".join(connection.execute(text(f"EXPLAIN {query}")).scalars())
    assert "Seq Scan on fact_sales" not in plan, plan
    assert f"ix_fact_sales_{index}" in plan, plan
