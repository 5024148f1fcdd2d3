"""Sales as JSON documents under `data/gold`, made from the Gold aggregates.

`python -m include.aggregates` writes them anew. Money is GBP in decimal strings; every document is replaced whole.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

from include.runs import write_atomically
from include.settings import Settings, get_settings

TOP_PRODUCTS = 100

DOCUMENTS = {
    "daily_sales": """
        SELECT invoice_day, lines, invoices, units, revenue, gross_sales
        FROM aggregates WHERE grain = 'day' ORDER BY invoice_day""",
    "monthly_sales": """
        SELECT invoice_month, lines, invoices, units, revenue, gross_sales
        FROM aggregates WHERE grain = 'month' ORDER BY invoice_month""",
    "sales_by_country": """
        SELECT country, sum(lines)::BIGINT AS lines, sum(invoices)::BIGINT AS invoices, sum(units)::BIGINT AS units,
            sum(revenue) AS revenue, sum(gross_sales) AS gross_sales
        FROM aggregates WHERE grain = 'country' GROUP BY country ORDER BY revenue DESC, country""",
    "top_products": f"""
        SELECT stock_code, any_value(products.description) AS description, sum(lines)::BIGINT AS lines,
            sum(units)::BIGINT AS units, sum(revenue) AS revenue, sum(gross_sales) AS gross_sales
        FROM aggregates JOIN products USING (stock_code) WHERE grain = 'product' GROUP BY stock_code
        ORDER BY revenue DESC, stock_code LIMIT {TOP_PRODUCTS}""",
}
"""Document -> its query. Revenue counts every line, cancellations and fees included; gross_sales counts sales only.
A country's invoices are counted by month: one with lines in two months counts twice."""


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    return value


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
            rows = [dict(zip(names, map(_plain, row), strict=True)) for row in found.fetchall()]
            path = settings.data_dir / "gold" / f"{name}.json"
            write_atomically(path, json.dumps(rows, indent=1, ensure_ascii=False))
            paths.append(path)
    return paths


if __name__ == "__main__":
    for written in write_documents(get_settings()):
        print(written)
