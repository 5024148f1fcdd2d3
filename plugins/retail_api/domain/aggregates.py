"""Sums over invoice lines."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from include.domain.money import Money, Quantity
from retail_api.domain.paging import BaseCurrency, Days, Entity, Paging
from retail_api.domain.sales import Text


class AggregateQuery(Days, Paging):
    """Which lines to sum."""


class CountryAggregateQuery(AggregateQuery):
    """Which lines to sum, of a country if it is given."""

    country: Text | None = Field(None, description="Name or ISO code of a country.", examples=["France"])


class Sums(Entity):
    """Sums over lines."""

    currency: BaseCurrency
    lines: int = Field(description="Invoice lines of every kind.")
    units: Quantity = Field(description="Sum of quantity over all lines.")
    revenue: Money = Field(description="Amount of all lines, cancellations, returns and fees included.")
    gross_sales: Money = Field(description="Amount of the lines of kind sale.")


class DailySales(Sums):
    """A day."""

    invoice_day: date
    invoices: int = Field(description="Distinct invoices, cancellations and adjustments.")


class CountrySales(Sums):
    """A country."""

    country: str
    country_iso2: str | None
    region: str | None
    invoices: int = Field(description="Distinct invoices, cancellations and adjustments.")


class ProductSales(Sums):
    """A stock code."""

    stock_code: str
    description: str | None
    is_product: bool = Field(description="Whether the code stands for goods.")
    category: str | None
