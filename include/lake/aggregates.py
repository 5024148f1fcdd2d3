"""Sales by day, month, country and product: a Gold table, and JSON documents under `data/gold` made from it.

Made after a batch is published, from the published facts alone, for the months the batch touches.
`python -m include.lake.aggregates` makes all of it again. Money is in the base currency, in decimal strings; `currency`
says which that is. Every document is replaced whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from include.domain.money import number, printed
from include.files import write_atomically
from include.lake.in_use import lake_in_use
from include.runs.marks import unpublished_batches
from include.settings import Settings, get_settings

TOP_PRODUCTS = 100

SCHEMA = pa.schema(
    [
        ("grain", pa.string()),
        ("invoice_month", pa.string()),
        ("invoice_day", pa.date32()),
        ("country", pa.string()),
        ("stock_code", pa.string()),
        ("lines", pa.int64()),
        ("invoices", pa.int64()),
        ("units", pa.decimal128(24, 4)),
        ("revenue", pa.decimal128(24, 6)),
        ("gross_sales", pa.decimal128(24, 6)),
    ]
)
"""Sums of grain day, month, country (in a month) or product (in a month); invoices are distinct numbers, not counted by
product."""

_AGGREGATES = """
    SELECT CASE WHEN invoice_day IS NOT NULL THEN 'day' WHEN country IS NOT NULL THEN 'country'
            WHEN stock_code IS NOT NULL THEN 'product' ELSE 'month' END AS grain,
        invoice_month, invoice_day, country, stock_code, count(*) AS lines,
        CASE WHEN stock_code IS NULL THEN count(DISTINCT invoice_key) END AS invoices,
        sum(quantity)::DECIMAL(24, 4) AS units, sum(amount)::DECIMAL(24, 6) AS revenue,
        coalesce(sum(amount) FILTER (WHERE kind = 'sale'), 0)::DECIMAL(24, 6) AS gross_sales
    FROM (
        SELECT invoice_month, strptime(date_key::VARCHAR, '%Y%m%d')::DATE AS invoice_day, country, stock_code,
            invoice_key, quantity, amount, kind
        FROM facts JOIN countries USING (country_key) JOIN products USING (product_key)
        WHERE NOT list_contains($unpublished, batch_id)
    )
    GROUP BY GROUPING SETS (
        (invoice_month, invoice_day), (invoice_month), (invoice_month, country), (invoice_month, stock_code)
    )
    ORDER BY ALL"""

DOCUMENTS = {
    "daily_sales": """
        SELECT invoice_day, lines, invoices, units, revenue, gross_sales
        FROM aggregates WHERE grain = 'day' ORDER BY invoice_day""",
    "monthly_sales": """
        SELECT invoice_month, lines, invoices, units, revenue, gross_sales
        FROM aggregates WHERE grain = 'month' ORDER BY invoice_month""",
    "sales_by_country": """
        SELECT country, sum(lines)::BIGINT AS lines, sum(invoices)::BIGINT AS invoices, sum(units) AS units,
            sum(revenue) AS revenue, sum(gross_sales) AS gross_sales
        FROM aggregates WHERE grain = 'country' GROUP BY country ORDER BY revenue DESC, country""",
    "top_products": f"""
        SELECT stock_code, any_value(products.description) AS description, sum(lines)::BIGINT AS lines,
            sum(units) AS units, sum(revenue) AS revenue, sum(gross_sales) AS gross_sales
        FROM aggregates JOIN products USING (stock_code) WHERE grain = 'product' GROUP BY stock_code
        ORDER BY revenue DESC, stock_code LIMIT {TOP_PRODUCTS}""",
}
"""Document -> its query. Revenue counts every line, cancellations and fees included; gross_sales counts sales only.
A country's invoices are counted by month: one with lines in two months counts twice."""


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Decimal):
        return number(value) if name == "units" else str(printed(value))
    if isinstance(value, date):
        return value.isoformat()
    return value


def write_aggregates(settings: Settings, months: Sequence[str] | None = None) -> None:
    """Replace the aggregates of some months, or of all, by those of the published facts.

    Raises:
        deltalake.exceptions.TableNotFoundError: If Gold has no facts yet.
    """
    partitions = None if months is None else [("invoice_month", "in", list(months))]
    with duckdb.connect() as connection:
        for name, table in (("countries", "dim_country"), ("products", "dim_product")):
            connection.register(name, DeltaTable(settings.table("gold", table)).to_pyarrow_dataset())
        facts = DeltaTable(settings.table("gold", "fact_sales")).to_pyarrow_dataset(file_pruning_predicate=partitions)
        connection.register("facts", facts)
        unpublished = {"unpublished": unpublished_batches(settings)}
        found = connection.sql(_AGGREGATES, params=unpublished).to_arrow_table()
    uri = settings.table("gold", "sales_aggregates")
    write_deltalake(uri, SCHEMA.empty_table(), mode="ignore", partition_by=["invoice_month"])
    predicate = None if months is None else f"invoice_month IN ({', '.join(repr(month) for month in months)})"
    write_deltalake(uri, found.cast(SCHEMA), mode="overwrite", predicate=predicate)


def write_documents(settings: Settings) -> list[Path]:
    """Write daily_sales, monthly_sales, sales_by_country and top_products; return their paths.

    Raises:
        deltalake.exceptions.TableNotFoundError: If Gold has no aggregates yet.
    """
    paths = []
    with duckdb.connect() as connection:
        for name, table in (("aggregates", "sales_aggregates"), ("products", "dim_product")):
            connection.register(name, DeltaTable(settings.table("gold", table)).to_pyarrow_dataset())
        for name, query in DOCUMENTS.items():
            found = connection.execute(query)
            names = [column[0] for column in found.description or []]
            rows = [
                dict(zip(names, map(_plain, names, row), strict=True)) | {"currency": settings.base_currency}
                for row in found.fetchall()
            ]
            path = settings.data_dir / "gold" / f"{name}.json"
            write_atomically(path, json.dumps(rows, indent=1, ensure_ascii=False))
            paths.append(path)
    return paths


if __name__ == "__main__":
    with lake_in_use(get_settings()):
        write_aggregates(get_settings())
        for written in write_documents(get_settings()):
            print(written)
