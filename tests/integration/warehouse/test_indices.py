"""The reads an API makes find their lines by an index, by the planner's own choice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from include.settings import Settings
from include.warehouse.connection.engine import open_engine, transaction
from include.warehouse.schema.migrations import downgrade, upgrade

LINES = 100_000
"""Twenty lines an invoice, an invoice every five minutes from 2010-12-01; 500 products, 700 customers, 40 countries."""

MADE = (
    "SET LOCAL session_replication_role = replica",
    "INSERT INTO dim_product (product_key, stock_code, product_type, is_product) "
    "SELECT n, 'P' || n, 'product', true FROM generate_series(1, 500) n",
    "INSERT INTO dim_customer (customer_key, customer_id, country_key) "
    "SELECT n, 'C' || n, 0 FROM generate_series(1, 700) n",
    "INSERT INTO dim_country (country_key, country) SELECT n, 'Country ' || n FROM generate_series(1, 40) n",
    "INSERT INTO dim_date (date_key, full_date, year, quarter, month, month_name, day, day_of_week, day_name, "
    "iso_week, is_weekend) SELECT to_char(d, 'YYYYMMDD')::int, d, 2010, 4, 12, 'December', extract(day FROM d), "
    "extract(isodow FROM d), 'day', extract(week FROM d), false "
    "FROM generate_series(timestamp '2010-12-01', '2010-12-31', '1 day') d",
    "INSERT INTO dim_invoice (invoice_key, invoice_no, kind, first_line_at, last_line_at) "
    "SELECT n, 'I' || n, 'sale', timestamp '2010-12-01' + n * interval '5 min', "
    "timestamp '2010-12-01' + n * interval '5 min' FROM generate_series(1, :lines / 20) n",
    "INSERT INTO fact_sales (sale_id, date_key, product_key, customer_key, country_key, invoice_key, sold_at, "
    "quantity, unit_price, amount, kind, batch_id) "
    "SELECT md5(n::text)::uuid, to_char(i.first_line_at, 'YYYYMMDD')::int, 1 + n * 37 % 500, "
    "1 + i.invoice_key % 700, CASE WHEN i.invoice_key % 10 > 0 THEN 1 ELSE 2 + n / 20 % 39 END, "
    "i.invoice_key, i.first_line_at, 1, 1, 1, CASE WHEN n % 97 = 0 THEN 'cancellation' ELSE 'sale' END, 'batch' "
    "FROM generate_series(0, :lines - 1) n JOIN dim_invoice i ON i.invoice_key = 1 + n / 20",
)

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


@contextmanager
def filled_warehouse(postgres_url: str) -> Iterator[tuple[Engine, str]]:
    """Yield a warehouse with made lines, whose planner knows of them, and the name of its schema."""
    settings = Settings(
        _env_file=None,
        database_url=SecretStr(postgres_url),
        warehouse_schema="indexed",
        staging_schema="indexed_staging",
    )
    upgrade(settings)
    with open_engine(settings) as engine:
        with transaction(engine) as connection:
            connection.execute(text("SET LOCAL search_path = indexed"))
            for statement in MADE:
                connection.execute(text(statement), {"lines": LINES} if ":lines" in statement else {})
            tables = ("fact_sales", "dim_product", "dim_country", "dim_customer", "dim_invoice", "dim_date")
            connection.execute(text(f"ANALYZE {', '.join(tables)}"))
        yield engine, settings.warehouse_schema
        downgrade(settings, "base")


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
