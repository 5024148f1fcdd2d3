"""Gold and Silver as the pipeline would leave them, made from one clean CSV file without Spark."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import write_deltalake

from include.domain.classify import NON_PRODUCT_CODES
from include.enrichment.country import facts
from include.enrichment.product.training import train
from include.settings import Settings

_LINES = r"""
    CREATE TABLE lines AS
    SELECT *, strftime(sold_at, '%Y-%m') AS invoice_month, 'batch' AS batch_id, product_type = 'product' AS is_product,
        (hash(stock_code) >> 4)::BIGINT AS product_key, (hash(country) >> 4)::BIGINT AS country_key,
        CASE WHEN regexp_matches(invoice_no, '^C[0-9]+$') THEN 'cancellation'
            WHEN regexp_matches(invoice_no, '^A[0-9]+$') THEN 'adjustment'
            WHEN product_type IN ('fee', 'adjustment') THEN product_type
            WHEN quantity <= 0 AND unit_price = 0 THEN 'stock_movement'
            WHEN quantity <= 0 THEN 'return'
            WHEN unit_price = 0 THEN 'free_of_charge'
            WHEN unit_price < 0 THEN 'adjustment' ELSE 'sale' END AS kind
    FROM (
        SELECT DISTINCT upper(trim(Invoice)) AS invoice_no, upper(trim(StockCode)) AS stock_code,
            nullif(trim(regexp_replace(Description, '[\s\x{00a0}]+', ' ', 'g')), '') AS description,
            Quantity::DECIMAL(11, 4) AS quantity, InvoiceDate::TIMESTAMPTZ AS sold_at,
            Price::DECIMAL(14, 6) AS unit_price,
            "Customer ID" AS customer_id, trim(Country) AS country,
            (Quantity::DECIMAL(11, 4) * Price::DECIMAL(20, 6))::DECIMAL(18, 6) AS amount
        FROM read_csv($file, header = true, all_varchar = true)
    ) JOIN codes ON coalesce(map_extract_value(codes.types, stock_code),
        CASE WHEN regexp_matches(stock_code, '^TEST[0-9]+$') THEN 'test' ELSE 'product' END) = codes.product_type"""

_SILVER = """
    SELECT stock_code, description, unit_price, is_product, batch_id, invoice_month FROM lines"""

_FACTS = """
    SELECT product_key, country_key, sold_at, quantity, unit_price, amount, kind, batch_id, invoice_month FROM lines"""

_PRODUCTS = """
    SELECT product_key, stock_code, any_value(is_product) AS is_product,
        arg_max(description, sold_at) FILTER (WHERE unit_price > 0 AND description IS NOT NULL) AS description
    FROM lines GROUP BY product_key, stock_code"""


def make_lake(settings: Settings, file: Path) -> None:
    """Write the tables that the search reads: fact_sales, dim_country and dim_product in Gold, lines in Silver."""
    logging.getLogger("deltalake").setLevel(logging.WARNING)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        types = sorted({"product", "test", *NON_PRODUCT_CODES.values()})
        connection.execute("CREATE TABLE codes (product_type VARCHAR, types MAP(VARCHAR, VARCHAR))")
        connection.executemany("INSERT INTO codes VALUES (?, ?)", [(kind, NON_PRODUCT_CODES) for kind in types])
        connection.execute(_LINES, {"file": str(file)})
        _write(settings.table("silver", "invoice_lines"), connection.sql(_SILVER).to_arrow_table(), ["invoice_month"])
        _write(settings.table("gold", "fact_sales"), connection.sql(_FACTS).to_arrow_table(), ["invoice_month"])
        countries = connection.sql("SELECT DISTINCT country_key, country FROM lines").to_arrow_table().to_pylist()
        products = connection.sql(_PRODUCTS).to_arrow_table().to_pylist()
    for row, known in zip(countries, facts([row["country"] for row in countries]), strict=True):
        row["region"] = known.region
    described = [row for row in products if row["is_product"] and row["description"]]
    answers = train().classify([row["description"] for row in described])
    for row, answer in zip(described, answers, strict=True):
        row |= {"category": answer.category, "subcategory": answer.subcategory, "brand": answer.brand}
    schema = pa.schema(
        [("product_key", pa.int64()), ("stock_code", pa.string()), ("is_product", pa.bool_())]
        + [(name, pa.string()) for name in ("description", "category", "subcategory", "brand")]
    )
    _write(settings.table("gold", "dim_country"), pa.Table.from_pylist(countries))
    _write(settings.table("gold", "dim_product"), pa.Table.from_pylist(products, schema=schema))


def _write(uri: str, table: Any, partitions: Sequence[str] | None = None) -> None:
    write_deltalake(uri, table, mode="overwrite", partition_by=list(partitions or []) or None)
