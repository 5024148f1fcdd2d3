"""Warehouses in PostgreSQL: their revisions, and one with many lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import Engine, text

from include.settings import Settings
from include.warehouse.connection.engine import open_engine, transaction
from include.warehouse.schema.migrations import MIGRATIONS, downgrade, upgrade

REVISIONS = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]
"""From the first to the newest."""

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
    "quantity, unit_price, amount, kind, batch_id, currency, original_unit_price, original_amount, base_rate) "
    "SELECT md5(n::text)::uuid, to_char(i.first_line_at, 'YYYYMMDD')::int, 1 + n * 37 % 500, "
    "1 + i.invoice_key % 700, CASE WHEN i.invoice_key % 10 > 0 THEN 1 ELSE 2 + n / 20 % 39 END, "
    "i.invoice_key, i.first_line_at, 1, 1, 1, CASE WHEN n % 97 = 0 THEN 'cancellation' ELSE 'sale' END, 'batch', "
    "'GBP', 1, 1, 1 "
    "FROM generate_series(0, :lines - 1) n JOIN dim_invoice i ON i.invoice_key = 1 + n / 20",
)


FACT_INDICES = """
SELECT i.indexrelid, pg_get_indexdef(i.indexrelid), i.indisvalid AND i.indisready AND i.indislive, i.indisreplident,
       pg_get_constraintdef(c.oid), c.conname
FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype = 'p'
WHERE i.indrelid = CAST(:table AS regclass) ORDER BY 2
"""


def fact_indices(engine: Engine, settings: Settings) -> dict[int, tuple[Any, ...]]:
    """Return what the server says of the indices of the facts, by object id: one made again has another."""
    with transaction(engine) as connection:
        rows = connection.execute(text(FACT_INDICES), {"table": f"{settings.warehouse_schema}.fact_sales"})
        return {row[0]: tuple(row[1:]) for row in rows}


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
