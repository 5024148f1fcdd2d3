"""The reference tables: what has been found out about invoice days, countries and products, one row each, in Delta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from include.domain.money import CURRENCIES
from include.enrichment.retries import retry_context
from include.settings import Settings

RATE = pa.decimal128(18, 8)
MOMENT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class ReferenceTable:
    """A reference table.

    Attributes:
        name: Name of the Delta table in layer `reference`.
        key: Column that identifies a row.
        schema: Its columns.
    """

    name: str
    key: str
    schema: pa.Schema

    def rows(self, settings: Settings) -> dict[Any, dict[str, Any]]:
        """Return the rows by key; none if the table was never written."""
        try:
            table = DeltaTable(settings.table("reference", self.name)).to_pyarrow_table()
        except TableNotFoundError:
            return {}
        return {row[self.key]: row for row in table.to_pylist()}

    def upsert(self, settings: Settings, rows: list[dict[str, Any]]) -> int:
        """Insert rows or replace those with the same key, in one commit; return the version of the table.

        Creates the table if it is absent, with no rows too.

        Raises:
            deltalake.exceptions.CommitFailedError: If other writers keep committing first.
        """
        uri = settings.table("reference", self.name)
        source = pa.Table.from_pylist(rows, schema=self.schema)
        for attempt in retry_context(on=CommitFailedError, attempts=8, timeout=30.0):
            with attempt:
                write_deltalake(uri, self.schema.empty_table(), mode="ignore")
                table = DeltaTable(uri)
                if rows:
                    table.merge(
                        source, f"t.{self.key} = s.{self.key}", source_alias="s", target_alias="t"
                    ).when_matched_update_all().when_not_matched_insert_all().execute()
        return int(DeltaTable(uri).version())


FX_RATES = ReferenceTable(
    "fx_rates",
    "invoice_day",
    pa.schema(
        [
            ("invoice_day", pa.date32()),
            ("rate_date", pa.date32()),
            ("source", pa.string()),
            ("missing", pa.string()),
            ("base", pa.string()),
            *[(f"rate_{currency.lower()}", RATE) for currency in CURRENCIES],
            ("recorded_at", MOMENT),
        ]
    ),
)
"""Units of each currency for one of the base currency, by invoice day."""

CURRENCY_RATES = ReferenceTable(
    "currency_rates",
    "day_currency",
    pa.schema(
        [
            ("day_currency", pa.string()),
            ("invoice_day", pa.date32()),
            ("currency", pa.string()),
            ("base_rate", pa.decimal128(18, 12)),
            ("rate_date", pa.date32()),
            ("source", pa.string()),
            ("recorded_at", MOMENT),
        ]
    ),
)
"""Units of the base currency for one of another, by invoice day and currency that lines are in."""

COUNTRIES = ReferenceTable(
    "countries",
    "country",
    pa.schema(
        [
            ("country", pa.string()),
            ("is_country", pa.bool_()),
            ("iso2", pa.string()),
            ("iso3", pa.string()),
            ("region", pa.string()),
            ("subregion", pa.string()),
            ("continent", pa.string()),
            ("population", pa.int64()),
            ("latitude", pa.decimal128(9, 6)),
            ("longitude", pa.decimal128(9, 6)),
            ("facts_source", pa.string()),
            ("facts_missing", pa.string()),
            ("enriched_at", MOMENT),
        ]
    ),
)
"""Facts by name of the country in Silver."""

PRODUCTS = ReferenceTable(
    "products",
    "stock_code",
    pa.schema(
        [
            ("stock_code", pa.string()),
            ("description", pa.string()),
            ("described_at", MOMENT),
            ("category", pa.string()),
            ("subcategory", pa.string()),
            ("brand", pa.string()),
            ("category_confidence", pa.decimal128(4, 3)),
            ("category_version", pa.string()),
            ("enriched_at", MOMENT),
        ]
    ),
)
"""Category and brand by stock code of goods, judged by the description on the latest line that has a price."""
