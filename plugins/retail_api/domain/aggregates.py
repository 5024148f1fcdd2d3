"""Sums over invoice lines."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Self

from pydantic import Field, model_validator

from retail_api.domain.paging import Day, Entity, Paging
from retail_api.domain.sales import Text


class AggregateQuery(Paging):
    """Which lines to sum."""

    date_from: Day | None = Field(None, description="First invoice day.", examples=["2010-12-01"])
    date_to: Day | None = Field(None, description="Last invoice day, itself included.", examples=["2010-12-31"])

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        if self.date_from and self.date_to and self.date_from > self.date_to:
            raise ValueError("date_from is after date_to: exchange them")
        return self


class CountryAggregateQuery(AggregateQuery):
    """Which lines to sum, of a country if it is given."""

    country: Text | None = Field(None, description="Country as on the invoices.", examples=["France"])


class Sums(Entity):
    """Sums over lines."""

    lines: int = Field(description="Invoice lines of every kind.")
    units: int = Field(description="Sum of quantity over all lines.")
    revenue: Decimal = Field(description="GBP of all lines, cancellations, returns and fees included.")
    gross_sales: Decimal = Field(description="GBP of the lines of kind sale.")


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
