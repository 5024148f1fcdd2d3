"""The star's dimensions: their keys, and how the rows of different batches for one member are merged into one.

Every rule is commutative, associative and idempotent, so the outcome depends neither on the order in which batches
arrive nor on how often one is repeated. Declared once; the lake (Spark) and the warehouse (SQL) both follow it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNKNOWN_KEY = 0
"""Key of the member of each dimension that stands for what is not known."""


@dataclass(frozen=True)
class Fixed:
    """A function of the natural key: all batches have the same value, unless the rules that derive it changed."""


@dataclass(frozen=True)
class Least:
    """The smaller value stays; null is no value."""


@dataclass(frozen=True)
class Greatest:
    """The greater value stays; null is no value."""


@dataclass(frozen=True)
class Newer:
    """The value at the latest `clock` stays, the greatest on a tie; no clock is the earliest."""

    clock: str


Rule = Fixed | Least | Greatest | Newer


@dataclass(frozen=True)
class Dimension:
    """Merge rules of one dimension.

    Attributes:
        table: Name of the table.
        key: Surrogate key: first 60 bits of SHA-256 of the natural key; of dim_date, the day as yyyymmdd.
        natural: Natural key; never changed.
        rules: Rule of every other column.
    """

    table: str
    key: str
    natural: str
    rules: Mapping[str, Rule]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, the surrogate key first."""
        return (self.key, self.natural, *self.rules)

    def is_changed_by(self, row: Mapping[str, Any], known: Mapping[str, Any] | None) -> bool:
        """Return whether merging `row` changes the member that is `known`, None if there is none yet."""
        if known is None:
            return True
        return any(_merged(rule, name, (known, row)) != known[name] for name, rule in self.rules.items())


def _merged(rule: Rule, name: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return the value that `rule` leaves of column `name` in rows of one member."""
    if isinstance(rule, Newer):
        newest = max((row[rule.clock] for row in rows if row[rule.clock] is not None), default=None)
        rows = [row for row in rows if newest is not None and row[rule.clock] == newest]
    values = [row[name] for row in rows if row[name] is not None]
    return min(values, default=None) if isinstance(rule, Least) else max(values, default=None)


COUNTRY_FACTS = (
    "is_country",
    "iso2",
    "iso3",
    "region",
    "subregion",
    "continent",
    "population",
    "latitude",
    "longitude",
    "facts_source",
    "facts_missing",
)
"""Columns of dim_country that enrichment fills."""

PRODUCT_FACTS = ("category", "subcategory", "brand", "category_confidence", "category_version")
"""Columns of dim_product that enrichment fills."""


def _enriched(columns: Sequence[str]) -> dict[str, Rule]:
    """Return the rules of columns that enrichment fills: what was recorded last stays."""
    return {**{name: Newer("enriched_at") for name in columns}, "enriched_at": Greatest()}


DIMENSION_RULES = (
    Dimension(
        "dim_date",
        "date_key",
        "full_date",
        {
            "year": Fixed(),
            "quarter": Fixed(),
            "month": Fixed(),
            "month_name": Fixed(),
            "day": Fixed(),
            "day_of_week": Fixed(),
            "day_name": Fixed(),
            "iso_week": Fixed(),
            "is_weekend": Fixed(),
        },
    ),
    Dimension(
        "dim_country",
        "country_key",
        "country",
        _enriched(COUNTRY_FACTS),
    ),
    Dimension(
        "dim_product",
        "product_key",
        "stock_code",
        {
            "description": Newer("described_at"),
            "product_type": Fixed(),
            "is_product": Fixed(),
            "described_at": Greatest(),
            "first_sold_at": Least(),
            "last_sold_at": Greatest(),
            **_enriched(PRODUCT_FACTS),
        },
    ),
    Dimension(
        "dim_customer",
        "customer_key",
        "customer_id",
        {
            "country_key": Newer("last_invoice_at"),
            "first_invoice_at": Least(),
            "last_invoice_at": Greatest(),
        },
    ),
    Dimension(
        "dim_invoice",
        "invoice_key",
        "invoice_no",
        {"kind": Fixed(), "first_line_at": Least(), "last_line_at": Greatest()},
    ),
)
"""The dimensions in the order they are written: a table comes after those it refers to."""
