"""The same cleaning and star in DuckDB alone: an independent answer to check against, and a pace to compare with.

It shares no code with the project: no orchestration, no exactly-once, no quarantine; one clean CSV file in ISO dates.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

LINES = r"""
CREATE TABLE lines AS
SELECT upper(trim(Invoice)) AS invoice_no,
    upper(trim(StockCode)) AS stock_code,
    nullif(trim(regexp_replace(Description, '[\s\x{00a0}]+', ' ', 'g')), '') AS description,
    Quantity::DECIMAL(11, 4) AS quantity,
    InvoiceDate::TIMESTAMP AS sold_at,
    Price::DECIMAL(14, 6) AS unit_price,
    regexp_replace(nullif(trim("Customer ID"), ''), '\.0+$', '') AS customer_id,
    trim(Country) AS country,
    (Quantity::DECIMAL(11, 4) * Price::DECIMAL(20, 6))::DECIMAL(18, 6) AS amount
FROM read_csv(?, header = true, all_varchar = true)
"""

STAR = {
    "fact_sales": "SELECT DISTINCT * FROM lines",
    "dim_date": "SELECT DISTINCT sold_at::DATE AS day, year(sold_at), month(sold_at), dayofweek(sold_at) FROM lines",
    "dim_country": "SELECT DISTINCT country FROM lines",
    "dim_product": """SELECT stock_code, arg_max(description, sold_at) AS description, min(sold_at), max(sold_at)
        FROM lines GROUP BY stock_code""",
    "dim_customer": """SELECT customer_id, arg_max(country, sold_at) AS country, min(sold_at), max(sold_at)
        FROM lines WHERE customer_id IS NOT NULL GROUP BY customer_id""",
    "dim_invoice": "SELECT invoice_no, min(sold_at), max(sold_at) FROM lines GROUP BY invoice_no",
}

AGGREGATES = {
    "daily_sales": """SELECT sold_at::DATE AS invoice_day, count(*) AS lines, count(DISTINCT invoice_no) AS invoices,
        sum(quantity) AS units, sum(amount) AS revenue FROM fact_sales GROUP BY 1 ORDER BY 1""",
    "monthly_sales": """SELECT strftime(sold_at, '%Y-%m') AS invoice_month, count(*) AS lines,
        count(DISTINCT invoice_no) AS invoices, sum(quantity) AS units, sum(amount) AS revenue
        FROM fact_sales GROUP BY 1 ORDER BY 1""",
    "sales_by_country": """SELECT country, count(*) AS lines, sum(quantity) AS units, sum(amount) AS revenue
        FROM fact_sales GROUP BY 1 ORDER BY revenue DESC, 1""",
    "top_products": """SELECT stock_code, count(*) AS lines, sum(quantity) AS units, sum(amount) AS revenue
        FROM fact_sales GROUP BY 1 ORDER BY revenue DESC, 1 LIMIT 100""",
}


def run(csv: Path, out: Path) -> duckdb.DuckDBPyConnection:
    """Clean `csv`, write star and aggregates to `out` as Parquet and JSON; return the connection that holds them."""
    out.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute(LINES, [str(csv)])
    for name, query in STAR.items():
        connection.execute(f"CREATE TABLE {name} AS {query}")
        connection.execute(f"COPY {name} TO '{out}/{name}.parquet'")
    for name, query in AGGREGATES.items():
        connection.execute(f"COPY ({query}) TO '{out}/{name}.json'")
    return connection
