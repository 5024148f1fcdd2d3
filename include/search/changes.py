"""Which products may differ between two states of the lake, found by reading only the files that are not in both.

A document is made from the facts and lines of its product, the product's and the countries' rows, and which batches are
published. Where none of these differ, the document does not either.
"""

from __future__ import annotations

import logging

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow.dataset import Dataset, FileSystemDataset

from include.search.catalogue import LakeMark, PublishedLake, table_mark

log = logging.getLogger(__name__)

COLUMNS = {
    "facts": "product_key, country_key, sold_at, quantity, unit_price, amount, kind, batch_id",
    "lines": "stock_code, description, is_product, unit_price, batch_id",
    "products": "product_key, stock_code, description, is_product, category, subcategory, brand",
    "countries": "country_key, country, region",
}
"""Table -> the columns that documents are made from."""

_DIFFERENT = """
    CREATE TABLE {name}_different AS
    (SELECT {columns} FROM {name}_before EXCEPT ALL SELECT {columns} FROM {name}_now) UNION ALL
    (SELECT {columns} FROM {name}_now EXCEPT ALL SELECT {columns} FROM {name}_before)"""

_STOCK_CODES = """
    WITH keys AS (
        SELECT product_key FROM facts_different
        UNION SELECT product_key FROM facts
            WHERE list_contains($batches, batch_id) OR country_key IN (SELECT country_key FROM countries_different))
    SELECT stock_code FROM products WHERE product_key IN (SELECT product_key FROM keys)
    UNION SELECT stock_code FROM products_different
    UNION SELECT stock_code FROM lines_different
    UNION SELECT stock_code FROM lines WHERE list_contains($batches, batch_id)"""


def changed_products(before: LakeMark, now: PublishedLake) -> set[str] | None:
    """Return the stock codes of all products whose documents may differ; None if `before` cannot be read any more."""
    batches = sorted({*before.unpublished} ^ {*now.unpublished})
    try:
        with now.connection() as connection:
            for name, columns in COLUMNS.items():
                mark, table = before.tables[name], now.tables[name]
                earlier = DeltaTable(table.table_uri, version=mark.version)
                if table_mark(earlier) != mark:
                    return None  # the table was replaced, as a restored backup does
                connection.register(f"{name}_before", _files_of(earlier, beyond=table))
                connection.register(f"{name}_now", _files_of(table, beyond=earlier))
                connection.execute(_DIFFERENT.format(name=name, columns=columns))
            found = connection.execute(_STOCK_CODES, {"batches": batches}).fetchall()
    except (DeltaError, OSError, duckdb.Error) as error:
        log.warning("What has changed since the last indexing cannot be read: %s", error)
        return None
    return {stock_code for (stock_code,) in found}


def _files_of(table: DeltaTable, beyond: DeltaTable) -> Dataset:
    """Return the rows in files of a version of a table that another version does not have."""
    other = {fragment.path for fragment in beyond.to_pyarrow_dataset().get_fragments()}
    dataset = table.to_pyarrow_dataset()
    files = [fragment for fragment in dataset.get_fragments() if fragment.path not in other]
    return FileSystemDataset(files, dataset.schema, dataset.format, dataset.filesystem)
