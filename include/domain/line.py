"""The rules of one invoice line, declared once as Pydantic constraints.

`LineText` holds the rules on text as it came (after trimming), `InvoiceLine` the rules on typed values. Spark evaluates
both as column expressions that it derives from these models' metadata (`spark_jobs/rules.py`); a property test holds
the two evaluations to the same verdict.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, WithJsonSchema

WHITESPACE = " \t\n\r\f\v\u00a0\ufeff"
"""Characters trimmed from the ends of every text field."""

WHOLE_AS_DECIMAL = r"^([0-9]+)\.0+$"
"""A whole number as spreadsheets write it in a column of decimals; the group is the number it stands for."""

ShopTime = Annotated[
    datetime,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?$",
            "description": "Shop local time, ISO 8601 without a zone.",
            "examples": ["2010-12-01T08:26:00"],
        }
    ),
]
"""A moment by the shop's clock; the `date-time` of JSON schemas would have a zone."""

Field_ = Literal["invoice", "stock_code", "description", "quantity", "invoice_date", "price", "customer_id", "country"]


class LineText(BaseModel):
    """The text rules, on values in the form that reading a file gives them (`include/sources/canonical.py`).

    Optional fields may be absent; what is present must match.

    An absent customer is a sale to an unknown customer, an absent country becomes `Unspecified`. Silver normalises what
    is valid: see `WHOLE_AS_DECIMAL` for invoice, stock_code and customer_id.
    """

    model_config = ConfigDict(extra="ignore")

    invoice: Annotated[str, StringConstraints(pattern=r"^[#0-9A-Za-z][#0-9A-Za-z_./-]{0,63}$")]
    stock_code: Annotated[str, StringConstraints(pattern=r"^[#0-9A-Za-z][#0-9A-Za-z _./-]{0,63}$")]
    description: Annotated[str, StringConstraints(max_length=500)] | None = None
    quantity: Annotated[str, StringConstraints(pattern=r"^[+-]?[0-9]{1,9}(\.0+)?$")]
    invoice_date: Annotated[
        str,
        StringConstraints(
            pattern=r"^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
            r"([ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?$"
        ),
    ]
    price: Annotated[str, StringConstraints(pattern=r"^[+-]?[0-9]{1,10}(\.[0-9]{1,4})?$")]
    customer_id: Annotated[str, StringConstraints(pattern=r"^[#0-9A-Za-z][#0-9A-Za-z_.@-]{0,63}$")] | None = None
    country: Annotated[str, StringConstraints(max_length=60)] | None = None


class InvoiceLine(BaseModel):
    """The typed rules.

    Attributes:
        quantity: Units; negative for returns and stock losses.
        sold_at: Shop local time.
        unit_price: GBP.
    """

    model_config = ConfigDict(extra="ignore")

    quantity: Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
    sold_at: Annotated[datetime, Field(ge=datetime(1990, 1, 1), lt=datetime(2100, 1, 1))]
    unit_price: Annotated[Decimal, Field(ge=Decimal(-1_000_000), le=Decimal(1_000_000))]


TYPED_FROM: dict[str, Field_] = {"quantity": "quantity", "sold_at": "invoice_date", "unit_price": "price"}
"""Typed field -> text field it is read from."""


def trim(text: str | None) -> str | None:
    """Return `text` without surrounding whitespace, None if nothing is left."""
    return (text or "").strip(WHITESPACE) or None


_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:[ T]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?)?"
)


def parse_date(text: str) -> datetime | None:
    """Return the moment `text` names in ISO 8601's order, or None if it names none."""
    found = _MOMENT.fullmatch(text)
    if not found:
        return None
    parts = [int(part or 0) for part in found.groups()[:6]]
    try:
        return datetime(*parts, microsecond=int((found[7] or "0").ljust(6, "0")))  # type: ignore[misc,arg-type]
    except ValueError:
        return None


def violations(raw: Mapping[str, str | None]) -> list[str]:
    """Return the reason codes of one line of canonical texts, in field order; empty if it is valid."""
    text = {name: trim(raw.get(name)) for name in LineText.model_fields}
    found: dict[str, str] = {}
    try:
        LineText.model_validate({name: value for name, value in text.items() if value is not None})
    except ValidationError as error:
        for item in error.errors():
            name = str(item["loc"][0])
            found[name] = f"missing_{name}" if item["type"] == "missing" else f"malformed_{name}"
    typed: dict[str, object] = {}
    if "quantity" not in found:
        typed["quantity"] = int(Decimal(text["quantity"] or ""))
    if "price" not in found:
        typed["unit_price"] = Decimal(text["price"] or "")
    if "invoice_date" not in found:
        moment = parse_date(text["invoice_date"] or "")
        if moment is None:
            found["invoice_date"] = "malformed_invoice_date"
        else:
            typed["sold_at"] = moment
    try:
        InvoiceLine.model_validate(typed)
    except ValidationError as error:
        for item in error.errors():
            source = TYPED_FROM[str(item["loc"][0])]
            if item["type"] != "missing":
                found[source] = f"{source}_out_of_range"
    return [found[name] for name in LineText.model_fields if name in found]
