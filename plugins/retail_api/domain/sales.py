"""Invoice lines: what they are, how they are filtered and sorted.

Money is `Decimal` throughout; JSON has it as strings of decimal digits, which survive any reader.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal, NamedTuple, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from include.domain.line import ShopTime
from include.domain.money import Money, Quantity
from retail_api.domain.paging import BaseCurrency, Days, Entity, Page, Paging, Parameters, Printable, decode_cursor

UNKNOWN_CUSTOMER = "(unknown)"
"""What is asked for to get the lines without a customer."""

DEFAULT_SORT = "invoice_date:desc"
MAX_SORT_FIELDS = 4
MAX_TEXT = 60


class Kind(StrEnum):
    """Kinds of transaction; those of `include.domain.classify.KINDS`."""

    SALE = "sale"
    FREE_OF_CHARGE = "free_of_charge"
    RETURN = "return"
    CANCELLATION = "cancellation"
    ADJUSTMENT = "adjustment"
    FEE = "fee"
    STOCK_MOVEMENT = "stock_movement"


SORT_FIELDS = (
    "invoice_date",
    "invoice_no",
    "stock_code",
    "description",
    "quantity",
    "unit_price",
    "total",
    "customer_id",
    "country",
    "kind",
)


class SortField(NamedTuple):
    """A field to sort by, and whether the greatest comes first."""

    name: str
    descending: bool


Sort = tuple[SortField, ...]


def parse_sort(text: str) -> Sort:
    """Return the order that `field:asc|desc`, several joined by commas, asks for; `:asc` may be left out.

    Raises:
        ValueError: Saying what cannot be understood.
    """
    fields: list[SortField] = []
    for part in text.split(","):
        name, colon, direction = part.strip().partition(":")
        if name not in SORT_FIELDS:
            raise ValueError(f"{name[:40]!r} is no field to sort by: use {', '.join(SORT_FIELDS)}")
        if direction not in ("asc", "desc") and colon:
            raise ValueError(f"the direction of {name} is asc or desc, as in {name}:desc")
        if name in {field.name for field in fields}:
            raise ValueError(f"{name} is named twice: name it once")
        fields.append(SortField(name, direction == "desc"))
    if len(fields) > MAX_SORT_FIELDS:
        raise ValueError(f"sort by {MAX_SORT_FIELDS} fields at most")
    return tuple(fields)


class SaleCursor(Parameters):
    """The last line seen of a list by time."""

    before: bool
    sold_at: datetime
    id: UUID


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT), Printable]
Code = Annotated[Text, AfterValidator(str.upper)]


class SalesFilter(Days):
    """Which lines; every condition that is given has to hold."""

    country: Text | None = Field(None, description="Name or ISO code of a country.", examples=["France"])
    product: Code | None = Field(None, description="Stock code.", examples=["85123A"])
    customer: Text | None = Field(
        None, description=f"Customer id; `{UNKNOWN_CUSTOMER}` for lines without one.", examples=["17850"]
    )
    invoice: Code | None = Field(None, description="Invoice number.", examples=["536365"])
    kind: Kind | None = Field(None, description="Kind of transaction.", examples=["sale"])


class SalesQuery(SalesFilter, Paging):
    """Which lines, in which order, which page of them."""

    sort: str = Field(
        DEFAULT_SORT,
        max_length=200,
        description=f"`field:asc` or `field:desc`, up to {MAX_SORT_FIELDS} joined by commas. Fields: "
        f"{', '.join(SORT_FIELDS)}. Lines that are equal in them follow by time and id.",
        examples=["invoice_date:desc", "country:asc,total:desc"],
    )
    cursor: str | None = Field(
        None,
        max_length=300,
        description="`next_cursor` of the page before. Takes the place of `page`, costs the same however deep, and "
        "neither skips nor repeats a line when others arrive. Only with a sort by `invoice_date` alone.",
    )

    @field_validator("sort")
    @classmethod
    def _sort_is_understood(cls, value: str) -> str:
        parse_sort(value)
        return value

    @model_validator(mode="after")
    def _cursor_fits(self) -> Self:
        if self.cursor is None:
            return self
        if self.page != 1:
            raise ValueError("give page or cursor, not both")
        if not self.by_time_alone:
            raise ValueError("a cursor goes with a sort by invoice_date alone")
        if decode_cursor(self.cursor, SaleCursor).before is not self.order[0].descending:
            raise ValueError("the cursor is of a list in the other direction: leave sort as it was")
        return self

    @cached_property
    def order(self) -> Sort:
        """The order asked for."""
        return parse_sort(self.sort)

    @property
    def by_time_alone(self) -> bool:
        """Whether lines are sorted by time and nothing else."""
        return [field.name for field in self.order] == ["invoice_date"]

    @property
    def position(self) -> SaleCursor | None:
        """The line after which the page begins."""
        return decode_cursor(self.cursor, SaleCursor) if self.cursor else None


class ExportQuery(SalesFilter):
    """Which lines, in which file format; in order of time."""

    format: Literal["csv", "parquet"] = Field("csv", description="File format.", examples=["csv"])


class Sale(Entity):
    """An invoice line."""

    id: UUID = Field(description="Identity of the line, made from its content.")
    invoice_no: str = Field(examples=["536365"])
    stock_code: str = Field(examples=["85123A"])
    description: str | None = Field(description="Latest description of the stock code.", examples=["LANTERN"])
    quantity: Quantity = Field(description="Units; negative for what came back or was lost.", examples=[6])
    unit_price: Money = Field(
        description="Price of a unit in the base currency, four decimals or up to six.", examples=["2.5500"]
    )
    total: Money = Field(
        description="Amount in the base currency; of a line in another one converted at base_rate, half up to coins.",
        examples=["15.3000"],
    )
    invoice_date: ShopTime
    customer_id: str | None = Field(description="Null if the line names none.", examples=["17850"])
    country: str = Field(examples=["United Kingdom"])
    kind: Kind = Field(description="Kind of transaction.", examples=["sale"])
    base_currency: BaseCurrency
    currency: str = Field(description="Currency of the line itself.", examples=["GBP"])
    original_unit_price: Money = Field(description="Price of a unit in the line's own currency.", examples=["2.5500"])
    original_amount: Money = Field(
        description="In the line's own currency: what it states it costs in all, else quantity x price; exact.",
        examples=["15.3000"],
    )
    fx_date: date | None = Field(description="Day of the exchange rates; null if there are none.")
    unit_price_usd: Money | None
    unit_price_eur: Money | None
    unit_price_cad: Money | None
    unit_price_aud: Money | None
    unit_price_jpy: Money | None
    total_usd: Money | None = Field(
        description="Total at the rate of fx_date, or the original amount of a line in USD; rounded half up."
    )
    total_eur: Money | None
    total_cad: Money | None
    total_aud: Money | None
    total_jpy: Money | None


class SaleDetail(Sale):
    """An invoice line with what is known about its product, country, rates and origin."""

    product_type: str = Field(description="product, or the type of a code that is not goods.")
    category: str | None
    subcategory: str | None
    brand: str | None
    country_iso2: str | None
    region: str | None
    base_rate: Decimal = Field(description="Units of the base currency for one of the line's own.")
    rate_usd: Decimal | None = Field(description="USD for one unit of the base currency on fx_date.")
    rate_eur: Decimal | None
    rate_cad: Decimal | None
    rate_aud: Decimal | None
    rate_jpy: Decimal | None
    fx_source: str | None = Field(description="Where the rates are from.")
    fx_missing: str | None = Field(description="Why there are no rates.")
    batch_id: str = Field(description="Batch that first loaded the line.")


class SalesPage(Page[Sale]):
    """One page of invoice lines."""

    next_cursor: str | None = Field(
        description="Give it as `cursor` for the lines that follow; null at the end and for other sorts than by time."
    )
