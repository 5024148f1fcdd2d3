"""The products as sold in each country, read from the published lines of Gold and Silver."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from include.domain.model import Model
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
        sum(quantity) AS units, sum(amount) AS revenue,
        min(sold_at) FILTER (WHERE kind = 'sale') AS first_sold_at,
        max(sold_at) FILTER (WHERE kind = 'sale') AS last_sold_at
    FROM facts JOIN countries USING (country_key) JOIN products USING (product_key)
    WHERE NOT list_contains($unpublished, batch_id) AND kind IN ('sale', 'return', 'cancellation')
        AND is_product AND products.description IS NOT NULL AND {wanted}
    GROUP BY stock_code, products.description, country
    HAVING count(*) FILTER (WHERE kind = 'sale') > 0
    ORDER BY stock_code, country"""

_DESCRIPTIONS = """
    SELECT stock_code, description FROM lines
    WHERE NOT list_contains($unpublished, batch_id) AND is_product AND unit_price > 0 AND description IS NOT NULL
        AND {wanted}
    GROUP BY stock_code, description ORDER BY stock_code, count(*) DESC, description"""


class TableMark(Model):
    """A version of a table; the digest of its files' names distinguishes it from one of another history."""

    version: int
    files_sha256: str


class LakeMark(Model):
    """What a `PublishedLake` was opened at."""

    tables: dict[str, TableMark]
    unpublished: list[str]


@dataclass(frozen=True)
class PublishedLake:
    """One state of the tables that the products are read from.

    Attributes:
        tables: Name in the statements -> table, each at one version.
        unpublished: Batches whose lines are in the tables and not live.
        currency: Code of the base currency.
    """

    tables: Mapping[str, DeltaTable]
    unpublished: list[str]
    currency: str

    def mark(self) -> LakeMark:
        """Return what identifies this state."""
        tables = {name: table_mark(table) for name, table in self.tables.items()}
        return LakeMark(tables=tables, unpublished=self.unpublished)

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection that has the tables under their names."""
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for name, table in self.tables.items():
                connection.register(name, table.to_pyarrow_dataset())
            yield connection

    def products(self, stock_codes: Collection[str] | None = None) -> list[Product]:
        """Return every product as sold in every country, from published lines alone.

        A product is sold in a country if a line of kind `sale` says so. Units and revenue are those of sales less
        returns and cancellations; prices and moments are those of sales.

        Args:
            stock_codes: Products to return; all if not given.
        """
        given = {"unpublished": self.unpublished}
        with self.connection() as connection:
            wanted = "true"
            if stock_codes is not None:
                connection.register("wanted", pa.table({"code": pa.array(sorted(stock_codes), pa.string())}))
                wanted = "stock_code IN (SELECT code FROM wanted)"
            described: dict[str, list[str]] = {}
            for stock_code, description in connection.execute(_DESCRIPTIONS.format(wanted=wanted), given).fetchall():
                described.setdefault(stock_code, []).append(description)
            found = connection.execute(_PRODUCTS.format(wanted=wanted), given)
            names = [column[0] for column in found.description or []]
            rows = found.fetchall()
        return [_product(dict(zip(names, row, strict=True)), described, self.currency) for row in rows]


def open_lake(settings: Settings) -> PublishedLake | None:
    """Return the present state of the lake; None if there is no Gold yet."""
    try:
        tables = {  # facts first, as they refer to the others
            "facts": DeltaTable(settings.table("gold", "fact_sales")),
            "lines": DeltaTable(settings.table("silver", "invoice_lines")),
            "products": DeltaTable(settings.table("gold", "dim_product")),
            "countries": DeltaTable(settings.table("gold", "dim_country")),
        }
    except TableNotFoundError:
        return None
    # Read last: a batch that the tables hold and that is not listed here has been published since.
    return PublishedLake(tables, unpublished_batches(settings), settings.base_currency)


def table_mark(table: DeltaTable) -> TableMark:
    """Return what identifies this version of a table."""
    files = "\n".join(sorted(table.file_uris()))
    return TableMark(version=table.version(), files_sha256=hashlib.sha256(files.encode()).hexdigest())


def _product(row: dict[str, Any], described: dict[str, list[str]], currency: str) -> Product:
    others = [text for text in described.get(row["stock_code"], ()) if text != row["description"]]
    return Product(
        **row | {name: _plain(row[name]) for name in ("first_sold_at", "last_sold_at")},
        alternatives=others[:MAX_ALTERNATIVES],
        currency=currency,
        price_band=price_band(Decimal(row["price_median"])),
    )


def _plain(moment: datetime) -> datetime:
    """Return shop time as it is written on the lines; Delta keeps it as if it were UTC."""
    return moment.replace(tzinfo=None, microsecond=0)
