"""The products as sold in each country, read from the published lines of Gold and Silver."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from include.runs.marks import unpublished_batches
from include.search.entities import Product, price_band
from include.settings import Settings

MAX_ALTERNATIVES = 8
"""Other descriptions that are kept of a product, the most frequent."""

_PRODUCTS = """
    SELECT stock_code, products.description, country, any_value(region) AS region,
        any_value(category) AS category, any_value(subcategory) AS subcategory, any_value(brand) AS brand,
        min(unit_price) FILTER (WHERE kind = 'sale') AS price_minimum,
        max(unit_price) FILTER (WHERE kind = 'sale') AS price_maximum,
        quantile_disc(unit_price, 0.5) FILTER (WHERE kind = 'sale') AS price_median,
        sum(quantity)::BIGINT AS units, sum(amount) AS revenue,
        min(sold_at) FILTER (WHERE kind = 'sale') AS first_sold_at,
        max(sold_at) FILTER (WHERE kind = 'sale') AS last_sold_at
    FROM facts JOIN countries USING (country_key) JOIN products USING (product_key)
    WHERE NOT list_contains($unpublished, batch_id) AND kind IN ('sale', 'return', 'cancellation')
        AND is_product AND products.description IS NOT NULL
    GROUP BY stock_code, products.description, country
    HAVING count(*) FILTER (WHERE kind = 'sale') > 0
    ORDER BY stock_code, country"""

_DESCRIPTIONS = """
    SELECT stock_code, description FROM lines
    WHERE NOT list_contains($unpublished, batch_id) AND is_product AND unit_price > 0 AND description IS NOT NULL
    GROUP BY stock_code, description ORDER BY stock_code, count(*) DESC, description"""


def read_products(settings: Settings) -> list[Product]:
    """Return every product as sold in every country, from published lines alone; none if there is no Gold yet.

    A product is sold in a country if a line of kind `sale` says so. Units and revenue are those of sales less returns
    and cancellations; prices and moments are those of sales.
    """
    unpublished = {"unpublished": unpublished_batches(settings)}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            for name, table in (("countries", "dim_country"), ("products", "dim_product"), ("facts", "fact_sales")):
                connection.register(name, DeltaTable(settings.table("gold", table)).to_pyarrow_dataset())
            lines = DeltaTable(settings.table("silver", "invoice_lines")).to_pyarrow_dataset()
        except TableNotFoundError:
            return []
        connection.register("lines", lines)
        described: dict[str, list[str]] = {}
        for stock_code, description in connection.execute(_DESCRIPTIONS, unpublished).fetchall():
            described.setdefault(stock_code, []).append(description)
        found = connection.execute(_PRODUCTS, unpublished)
        names = [column[0] for column in found.description or []]
        rows = found.fetchall()
    return [_product(dict(zip(names, row, strict=True)), described) for row in rows]


def _product(row: dict[str, Any], described: dict[str, list[str]]) -> Product:
    others = [text for text in described.get(row["stock_code"], ()) if text != row["description"]]
    return Product(
        **row | {name: _plain(row[name]) for name in ("first_sold_at", "last_sold_at")},
        alternatives=others[:MAX_ALTERNATIVES],
        price_band=price_band(Decimal(row["price_median"])),
    )


def _plain(moment: datetime) -> datetime:
    """Return shop time as it is written on the lines; Delta keeps it as if it were UTC."""
    return moment.replace(tzinfo=None, microsecond=0)
